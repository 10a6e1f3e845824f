-- Ends leases of jobs that nobody else knows (rules L2, R1).
-- arguments  4 a letter for each: c completed or d removed; 5 on, of each id (16), and
--            version and token (6, 6)
-- answer     ok, now, what became of each (a: all of them applied); or careful: not all
--            are such jobs under these guards, so that it is a case for `apply`
-- why        most transitions are like this, and need little; see `dequeue_plain`
-- full       goes on: work comes to its end
-- with       base write meta pages ends settle
return once(function()
    if not know_queue() then return { 'unknown' } end
    if meta.is_partitioned then return { 'careful' }, false end
    local shapes, ids = ARGV[4], {}
    for i = 1, #shapes do ids[i] = ARGV[2 * i + 3] end
    local now = hmget(K.lives, ids)
    for i = 1, #ids do
        if not end_lease(sub(shapes, i, i), ids[i], ARGV[2 * i + 4], now[i]) then return { 'careful' }, false end
    end
    flush_ends()
    flush_removed()
    return { 'ok', NOW, rep('a', #ids) }
end)

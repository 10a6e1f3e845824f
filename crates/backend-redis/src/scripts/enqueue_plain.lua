-- Stores a batch of jobs that are due at once and known to nothing else (rules E1 to E3).
-- arguments  4 on, of each the rest, with its id behind it
-- answer     as `enqueue`; or careful: they cannot stand in the main line, so that it is
--            a case for that
-- why        most jobs are like this, and need little; see `dequeue_plain`
-- with       base write meta pages
return once(function()
    if not know_queue() then return { 'unknown' } end
    -- The main line is in the order of the enqueue sequence only as long as the clock
    -- does not go back.
    if meta.is_partitioned or is_before(NOW, meta.last_place) then return { 'careful' }, false end
    local count, ids = #ARGV - 3, {}
    for i = 1, count do ids[i] = sub(ARGV[i + 3], -16) end
    local found, fresh, letters = hmget(K.jobs, ids), {}, {}
    local new_ids, jobs, n, k = {}, {}, 0, 0
    local last, queue = meta.last, sunpack('>I2', meta.number)
    local places = NOW .. NOW .. PLAIN .. NOW
    for i = 1, count do
        local id = ids[i]
        if found[i] or fresh[id] then
            letters[i] = 'e'
        else
            letters[i], fresh[id] = 's', true
            k = k + 1
            new_ids[k] = id
            jobs[n + 1], jobs[n + 2] = id, 'r\0\0' .. spack('>I6I2', last + k, queue) .. places .. ARGV[i + 3]
            n = n + 2
        end
    end
    if k > 0 then
        add_to_pages(last, new_ids, true)
        hset(K.jobs, jobs, {})
        local front = meta.front
        -- Nobody has to look through what was stored while the line was empty.
        if meta.in_line == 0 then front = last end
        hset(K.meta, { 'q', last + k, 'n', meta.in_line + k, 'l', NOW, 'f', front },
            { q = last, n = meta.in_line, l = meta.last_place, f = meta.front })
    end
    return { 'ok', NOW, table.concat(letters), {}, {}, {} }
end)

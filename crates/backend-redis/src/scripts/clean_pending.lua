-- Removes scheduled or waiting jobs for good, in the order of their enqueue (rule Q3).
-- arguments  4 1 waiting or 0 scheduled; 5 those enqueued until this moment; 6 how
--            many at most; 7 the page to begin with (6), or nothing; 8 how many are to be
--            left, or nothing
-- answer     ok, ids of those that went, the next page or nothing, messages for other
--            queues
--            more: time has passed over so many jobs that they take another call
--            unknown: the queue was never declared
-- why        a bounded piece of the pages of all jobs: only they are in this order
-- full       goes on: it makes room
-- with       base write record meta partitions place pages counts ends settle dedup graph remove
return once(function()
    if not know_queue() then return { 'unknown' } end
    local from = '-'
    if ARGV[7] ~= '' then from = '[' .. ARGV[7] end
    local fields = redis.call('ZRANGEBYLEX', K.page_order, from, '+', 'LIMIT', 0, 9)
    local following = fields[9] or ''
    fields[9] = nil
    local limit, went, is_over = tonumber(ARGV[6]), {}, false
    if ARGV[8] ~= '' then
        if meta.is_partitioned and not tick() then return { 'more' } end
        local scheduled, waiting = count_pending()
        limit = min(limit, (ARGV[4] == '1' and waiting or scheduled) - tonumber(ARGV[8]))
    end
    for i, page in ipairs(hmget(K.pages, fields)) do
        local ids = ids_in(page)
        for j, r in ipairs(read_records(ids)) do
            if r and sub(r, 10, 15) == spack('>I6', sunpack('>I6', fields[i]) * PAGE + j) then
                if is_before(ARGV[5], sub(r, 42, 49)) or #went >= limit then
                    is_over = true
                    break
                end
                local is_due = not is_before(NOW, sub(r, 34, 41))
                if is_pending(r) and is_due == (ARGV[4] == '1')
                    and redis.call('HEXISTS', K.needed, ids[j]) == 0 then
                    went[#went + 1] = ids[j]
                    load(ids[j])
                    detach(r, ids[j])
                    remove(r, ids[j])
                end
            end
        end
        if is_over then break end
    end
    flush_records()
    flush_removed()
    if meta.is_partitioned then judge_touched() end
    if is_over then following = '' end
    return { 'ok', table.concat(went), following, messages(1000) }
end)

-- Figures of a queue (rule Q2).
-- answer     ok, now, jobs in each state in the order of their codes, the earliest
--            ready moment or nothing, starts in the window of its rate, 1 paused or 0
--            more: time has passed over so many jobs that they take another call
--            unknown: the queue was never declared
-- why        the sizes of the indexes are the figures: there is nothing to count
-- full       goes on: an operator may want it then
-- with       base write record meta partitions place pages counts lease
return once(function()
    if not know_queue() then return { 'unknown' } end
    -- Only lines of partitions mix who is due with who is not.
    if meta.is_partitioned and not tick() then return { 'more' } end
    local function size(key) return redis.call('ZCARD', key) end
    local function ended(state) return tonumber(redis.call('HGET', K.meta, 'e' .. state) or '0') end
    local scheduled, waiting = count_pending()
    local oldest
    local function older(key)
        local first = redis.call('ZRANGE', key, 0, 0)[1]
        local moment = first and sub(first, 1, 8)
        if moment and not is_before(NOW, moment) and (not oldest or is_before(moment, oldest)) then
            oldest = moment
        end
    end
    older(K.waiting)
    older(K.sched)
    older(K.parked)
    if not meta.is_partitioned then
        local first = redis.call('ZRANGEBYLEX', K.ready, '[' .. PLAIN, '(' .. PLAIN .. HIGH, 'LIMIT', 0, 1)[1]
        if first then
            local r = read_record(sub(first, 25))
            local moment = sub(first, 9, 16)
            if not is_indexed(r) and (not oldest or is_before(moment, oldest)) then oldest = moment end
        end
    end
    if meta.in_line > 0 then
        local _, first, numbers, front = next_in_line(1)
        if numbers[1] then front = numbers[1] - 1 end
        if front ~= meta.front then hset_one(K.meta, 'f', front, meta.front) end
        if not first[1] then return { 'more' } end
        local moment = sub(first[1], 12, 19)
        if not oldest or is_before(moment, oldest) then oldest = moment end
    end
    local in_window = 0
    if meta.starts ~= NO_BOUND then
        local horizon = earlier(NOW, meta.period)
        for _, start in ipairs(redis.call('LRANGE', K.starts, 0, -1)) do
            if is_before(horizon, sub(start, 1, 8)) then in_window = in_window + sunpack('>I4', start, 9) end
        end
    end
    return { 'ok', NOW, size(K.blocked), scheduled, waiting,
        size(K.leases), ended('c'), ended('f'), ended('x'), ended('e'),
        oldest or false, in_window, meta.is_paused and 1 or 0 }
end)

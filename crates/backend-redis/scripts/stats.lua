-- Figures of a queue (rule Q2).
-- answer     ok, now, jobs in each state in the order of their codes, the earliest
--            ready moment or nothing, starts in the window of its rate, 1 paused or 0
--            more: time has passed over so many jobs that they take another call
--            unknown: the queue was never declared
-- why        the sizes of the indexes are the figures: there is nothing to count
-- full       goes on: an operator may want it then
-- with       base write record meta partitions place
return once(function()
    if not know_queue() then return { 'unknown' } end
    -- Only lines of partitions mix who is due with who is not.
    if meta.is_partitioned and not tick() then return { 'more' } end
    local until_ = '(' .. NOW .. HIGH
    local function size(key) return redis.call('ZCARD', key) end
    local function passed(key) return redis.call('ZLEXCOUNT', key, '-', until_) end
    local parked, parked_due = size(K.parked), passed(K.parked)
    local scheduled, waiting = size(K.sched), 0
    if meta.is_partitioned then
        waiting = passed(K.waiting)
        scheduled = scheduled + size(K.waiting) - waiting
    else
        local due = passed(K.sched)
        waiting = size(K.ready) + due
        scheduled = scheduled - due
    end
    local oldest
    local function older(key)
        local first = redis.call('ZRANGE', key, 0, 0)[1]
        local moment = first and sub(first, 1, 8)
        if moment and moment <= NOW and (not oldest or moment < oldest) then oldest = moment end
    end
    older(K.waiting)
    older(K.sched)
    older(K.parked)
    if not meta.is_partitioned then
        local first = redis.call('ZRANGEBYLEX', K.ready, '[' .. PLAIN, '(' .. PLAIN .. HIGH, 'LIMIT', 0, 1)[1]
        if first then
            local r = redis.call('HGET', K.jobs, sub(first, 25))
            local moment = sub(first, 9, 16)
            if not is_indexed(r) and (not oldest or moment < oldest) then oldest = moment end
        end
    end
    local in_window = 0
    if meta.starts ~= NO_BOUND then
        local horizon = earlier(NOW, meta.period)
        for _, start in ipairs(redis.call('LRANGE', K.starts, 0, -1)) do
            if sub(start, 1, 8) > horizon then in_window = in_window + sunpack('>I4', start, 9) end
        end
    end
    return { 'ok', NOW, size(K.blocked), scheduled + parked - parked_due, waiting + parked_due,
        size(K.leases), size(K.completed), size(K.failed), size(K.cancelled), size(K.expired),
        oldest or false, in_window, meta.is_paused and 1 or 0 }
end)

-- How many jobs wait: the sizes of the indexes are the figures.
-- Answers how many are scheduled and how many waiting. Where only lines of partitions mix
-- who is due with who is not, `tick` has to have come to its end before.
local function count_pending()
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
        waiting = size(K.ready) + due + meta.in_line
        scheduled = scheduled - due
    end
    return scheduled + parked - parked_due, waiting + parked_due
end

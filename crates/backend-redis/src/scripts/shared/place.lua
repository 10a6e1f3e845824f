-- Where pending jobs stand. Most are due as they are enqueued, with the rank 0: they
-- stand in the main line, which is nothing but the pages of all jobs from where it was
-- taken last; their state is r. All others: before they are in line, in `sched`: the moment at which
-- they are (8), seq, id. Then in `ready`, by order key and id, or in the line of
-- their partition. `waiting` has, by due moment, those of partitions and those of a
-- rank other than 0: the others' first is that of `ready`. `parked` has, by due
-- moment, those that did not start in time, or cannot. `expiring` has when jobs expire;
-- `parking` when those of them that are not parked yet will be.
-- Whether `waiting` has it, once it is in line.
local function is_indexed(r)
    return meta.is_partitioned or band(byte(r, 2), AGED) ~= 0 or sub(r, 18, 25) ~= PLAIN
end

-- The moment at which it is in line.
local function joins(r)
    if meta.is_partitioned then return sub(r, 26, 33) end
    return sub(r, 34, 41)
end

-- Puts a pending job in line.
local function join(r, id)
    if meta.is_partitioned then
        local partition = partition_of(r)
        zadd_one(K.lines, line_member(r, id, partition))
        touch(partition, 0)
    else
        zadd_one(K.ready, order_key(r) .. id)
    end
    if is_indexed(r) then zadd_one(K.waiting, sub(r, 34, 41) .. sub(r, 10, 17) .. id) end
end

-- Puts a pending job where it belongs.
local function attach(r, id)
    local moment, due, seq, expires = joins(r), sub(r, 34, 41), sub(r, 10, 17), expiry(r)
    if expires then zadd_one(K.expiring, expires .. seq .. id) end
    if expires and not (is_before(NOW, expires) and is_before(due, expires)) then
        zadd_one(K.parked, due .. seq .. id)
        return
    end
    if not is_before(NOW, moment) then
        join(r, id)
    else
        zadd_one(K.sched, moment .. seq .. id)
    end
    if expires then zadd_one(K.parking, expires .. seq .. id) end
end

-- Takes a pending job out of the line, if it stands there.
local function leave(r, id)
    if meta.is_partitioned then
        local partition = partition_of(r)
        if zrem_one(K.lines, line_member(r, id, partition)) then touch(partition, 0) end
    else
        zrem_one(K.ready, order_key(r) .. id)
    end
    if is_indexed(r) then zrem_one(K.waiting, sub(r, 34, 41) .. sub(r, 10, 17) .. id) end
end

local function forget_expiry(r, id)
    local expires = expiry(r)
    if expires then
        zrem_one(K.expiring, expires .. sub(r, 10, 17) .. id)
        zrem_one(K.parking, expires .. sub(r, 10, 17) .. id)
    end
end

-- Takes a pending job out of wherever it stands.
local function detach(r, id)
    local seq = sub(r, 10, 17)
    if sub(r, 1, 1) == 'r' then
        count_up(K.meta, 'n', -1)
        return
    end
    if not zrem_one(K.sched, joins(r) .. seq .. id)
        and not zrem_one(K.parked, sub(r, 34, 41) .. seq .. id) then
        leave(r, id)
    end
    forget_expiry(r, id)
end

-- Takes a job that did not start in time out of the line, until it is decided about.
local function park(r, id)
    if not zrem_one(K.sched, joins(r) .. sub(r, 10, 17) .. id) then leave(r, id) end
    zadd_one(K.parked, sub(r, 34, 41) .. sub(r, 10, 17) .. id)
end

-- Lets time pass: who is due is in line, who did not start in time is in none, and
-- partitions that time opens are judged.
-- Answers false if there is more of it than one call should do.
local TICK = 500
local function tick()
    local due = redis.call('ZRANGEBYLEX', K.sched, '-', '(' .. NOW .. HIGH, 'LIMIT', 0, TICK)
    if #due > 0 then
        local ids = {}
        for i = 1, #due do ids[i] = sub(due[i], 17) end
        local records = read_records(ids)
        zrem(K.sched, due)
        for i = 1, #due do
            if records[i] then join(records[i], ids[i]) end
        end
    end
    local late = redis.call('ZRANGEBYLEX', K.parking, '-', '(' .. NOW .. HIGH, 'LIMIT', 0, TICK)
    if #late > 0 then
        zrem(K.parking, late)
        for i = 1, #late do
            local id = sub(late[i], 17)
            local r = read_record(id)
            if r then park(r, id) end
        end
    end
    local opened = 0
    if meta.is_partitioned then
        for _, key in ipairs({ K.openings, K.fading }) do
            local found = redis.call('ZRANGEBYLEX', key, '-', '(' .. NOW .. HIGH, 'LIMIT', 0, TICK)
            zrem(key, found)
            for i = 1, #found do
                opened = opened + 1
                touch(sub(found[i], 9), 0)
            end
        end
        judge_touched()
    end
    return #due < TICK and #late < TICK and opened < TICK
end

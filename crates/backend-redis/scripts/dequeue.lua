-- Leases the first jobs that can start (rules O1 to O4, L1, G1 to G5, P1 to P3).
-- arguments  4 worker (16), 5 how many at most, 6 length of the leases (8),
--            7 the declaration that the caller knows (how often it was declared)
-- answer     ok, now, when to ask again (n now, a and a moment, e on notice),
--            declared how often, the declaration unless the caller knows it, ids and
--            records, what is kept apart of these
--            more: time has passed over so many jobs that they take another call
--            unknown: the queue was never declared
-- why        one step and one round trip, however many jobs. What is remembered of
--            the answer is only which jobs they are: they are still there.
-- full       goes on: what waits is run, and can go
-- with       base write record meta partitions place
local taken_ids, taken_records = {}, {}
local run_head

-- Leases the jobs behind these ids.
local function lease(ids, records, until_)
    local jobs, leases, before = {}, {}, {}
    local n, k = 0, #taken_ids
    for i = 1, #ids do
        local id, r = ids[i], records[i]
        meta.token = meta.token + 1
        local apart = byte(r, 3)
        local run, tail = spack('>I6', meta.token) .. run_head, 88
        if band(apart, RUN) == 0 then
            tail = 50
            if band(byte(r, 2), EXPIRES) ~= 0 then forget_expiry(r, id) end
            apart = apart + RUN
        end
        local new = 'a' .. char(byte(r, 2), apart) .. next_number(sub(r, 4, 9)) .. sub(r, 10, 49)
            .. run .. sub(r, tail)
        jobs[n + 1], jobs[n + 2] = id, new
        leases[n + 1], leases[n + 2] = '0', until_ .. sub(r, 10, 17) .. id
        n = n + 2
        before[id] = r
        k = k + 1
        taken_ids[k], taken_records[k] = id, new
    end
    hset(K.jobs, jobs, before)
    zadd(K.leases, leases)
end

local function lease_plain(free, until_)
    while #taken_ids < free do
        local members = redis.call('ZRANGE', K.ready, 0, min(free - #taken_ids, 2000) - 1)
        if #members == 0 then return end
        local ids, waiting = {}, {}
        for i = 1, #members do ids[i] = sub(members[i], 25) end
        local records = hmget(K.jobs, ids)
        lease(ids, records, until_)
        zrem(K.ready, members)
        for i = 1, #ids do
            local r = records[i]
            if is_indexed(r) then waiting[#waiting + 1] = sub(r, 34, 41) .. sub(r, 10, 17) .. ids[i] end
        end
        zrem(K.waiting, waiting)
    end
end

local function lease_heads(free, until_)
    -- With one lease at a time, a partition that starts a job is closed by that: the
    -- heads can be taken together.
    local together = meta.own_leases == 1
    while #taken_ids < free do
        local wanted = together and min(free - #taken_ids, 1000) or 1
        local heads = redis.call('ZRANGE', K.heads, 0, wanted - 1)
        if #heads == 0 then return end
        local ids = {}
        for i = 1, #heads do ids[i] = sub(heads[i], 25, 40) end
        local records = hmget(K.jobs, ids)
        local lines, waiting, starts, before = {}, {}, {}, #taken_ids
        lease(ids, records, until_)
        for i = 1, #ids do
            local r, id, partition = records[i], ids[i], sub(heads[i], 41)
            lines[i] = line_member(r, id, partition)
            waiting[i] = sub(r, 34, 41) .. sub(r, 10, 17) .. id
            touch(partition, 1)
            if meta.own_starts ~= NO_BOUND then
                starts[#starts + 1] = '0'
                starts[#starts + 1] = line_prefix(partition) .. NOW
                    .. sub(taken_records[before + i], 50, 55)
            end
        end
        zrem(K.lines, lines)
        zrem(K.waiting, waiting)
        zadd(K.own_starts, starts)
        judge_touched()
    end
end

-- Forgets the starts that have left the window of the queue's rate: `starts` has
-- moment (8) and how many (4), oldest first.
local function slide_window()
    local horizon = earlier(NOW, meta.period)
    while true do
        local first = redis.call('LINDEX', K.starts, 0)
        if not first or sub(first, 1, 8) > horizon then return first end
        redis.call('LPOP', K.starts)
        undo[#undo + 1] = function() redis.call('LPUSH', K.starts, first) end
        meta.in_window = meta.in_window - sunpack('>I4', first, 9)
    end
end

-- What the queue's own bounds leave room for, and when there will be some.
local function room()
    local free, again = NO_BOUND, nil
    if meta.starts ~= NO_BOUND then
        local first = slide_window()
        free = max(0, meta.starts - meta.in_window)
        if free == 0 and first then again = later(sub(first, 1, 8), meta.period) end
    end
    if meta.leases ~= NO_BOUND then
        local slots = max(0, meta.leases - redis.call('ZCARD', K.leases))
        if slots == 0 then
            again = nil
            if meta.leases > 0 then
                local live = redis.call('ZRANGEBYLEX', K.leases, '(' .. NOW .. HIGH, '+', 'LIMIT', 0, 1)[1]
                if live then again = sub(live, 1, 8) end
            end
        end
        free = min(free, slots)
    end
    return free, again
end

local function earliest(a, b)
    if not a or (b and b < a) then return b end
    return a
end

-- When time makes a further job ready; NOW if there is one.
local function opening()
    local first = redis.call('ZRANGE', K.sched, 0, 0)[1]
    local moment = first and sub(first, 1, 8)
    if meta.is_partitioned then
        if redis.call('ZCARD', K.heads) > 0 then return NOW end
        local opens = redis.call('ZRANGE', K.openings, 0, 0)[1]
        moment = earliest(moment, opens and sub(opens, 1, 8))
        if meta.own_leases > 0 and meta.own_leases < NO_BOUND and redis.call('EXISTS', K.lines) == 1 then
            local live = redis.call('ZRANGEBYLEX', K.leases, '(' .. NOW .. HIGH, '+', 'LIMIT', 0, 1)[1]
            moment = earliest(moment, live and sub(live, 1, 8))
        end
    elseif redis.call('EXISTS', K.ready) == 1 then
        return NOW
    end
    return moment
end

local function again()
    local moment = opening()
    if not moment then return 'e' end
    local free, opens = room()
    if free > 0 then
        if moment <= NOW then return 'n' end
        return 'a' .. moment
    end
    if not opens then return 'e' end
    if moment > opens then opens = moment end
    return 'a' .. opens
end

local function answer(when, ids, records)
    local shown, apart = show(ids, records, FULL)
    local spec = false
    if ARGV[7] ~= meta.declared then spec = redis.call('HGET', K.meta, 's') end
    return { 'ok', NOW, when, meta.declared, spec, shown, apart }
end

return once(function()
    if not know_queue() then return { 'unknown' } end
    if meta.is_paused then return answer('e', {}, {}), { 'ok', NOW, 'e', '', 0 } end
    if not tick() then return { 'more' } end
    local free, before = min(tonumber(ARGV[5]), (room())), 0
    if free > 0 then
        local until_ = later(NOW, ARGV[6])
        run_head = until_ .. ARGV[4] .. NOW
        local first = tonumber(redis.call('HGET', K.meta, 't') or '0')
        meta.token, before = first, first
        if meta.is_partitioned then
            lease_heads(free, until_)
        else
            lease_plain(free, until_)
        end
        if #taken_ids > 0 then
            hset_one(K.meta, 't', meta.token, first)
            if meta.starts ~= NO_BOUND then
                redis.call('RPUSH', K.starts, NOW .. spack('>I4', #taken_ids))
                undo[#undo + 1] = function() redis.call('RPOP', K.starts) end
                meta.in_window = meta.in_window + #taken_ids
            end
        end
        if meta.is_partitioned then judge_touched() end
    end
    if meta.starts ~= NO_BOUND then hset_one(K.meta, 'w', meta.in_window, meta.window) end
    local when = again()
    return answer(when, taken_ids, taken_records), { 'ok', NOW, when, table.concat(taken_ids), before }
end, function(kept)
    -- Which of them are still leased as they were then: under tokens that followed each
    -- other, and not under a later one, which somebody else may have been given.
    if kept[1] ~= 'ok' then return kept end
    know_queue()
    local ids, records, token = {}, {}, kept[5]
    for at = 1, #kept[4], 16 do
        local id = sub(kept[4], at, at + 15)
        local r = redis.call('HGET', K.jobs, id)
        token = token + 1
        if r and sub(r, 1, 1) == 'a' and sub(r, 50, 55) == spack('>I6', token) then
            ids[#ids + 1], records[#records + 1] = id, r
        end
    end
    return answer(kept[3], ids, records)
end)

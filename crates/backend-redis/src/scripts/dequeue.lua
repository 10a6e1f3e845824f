-- Leases the first jobs that can start (rules O1 to O4, L1, G1 to G5, P1 to P3).
-- arguments  4 worker (16), 5 how many at most, 6 length of the leases (8),
--            7 the name of the declaration that the caller knows
-- answer     ok, now, when to ask again (n now, a and a moment, e on notice),
--            the declaration's name, itself unless the caller knows it, ids and
--            records, what is kept apart of these
--            more: time has passed over so many jobs that they take another call
--            unknown: the queue was never declared
-- why        one step and one round trip, however many jobs. What is remembered of
--            the answer is only which jobs they are: they are still there.
-- full       goes on: what waits is run, and can go
-- with       base write record meta partitions place pages lease
-- Which of the others come before which of the main line, as far as both are wanted:
-- how many of each. Where the line goes on behind what was looked at of it, nobody knows
-- who stands before the others that are left.
local function merged(others, fixed, wanted, is_whole)
    local order, i, j = {}, 1, 1
    while #order < wanted and (fixed[j] or (is_whole and others[i])) do
        if others[i] and not (fixed[j] and not is_first(others[i], fixed[j])) then
            order[#order + 1] = i
            i = i + 1
        else
            order[#order + 1] = -j
            j = j + 1
        end
    end
    return order, i - 1, j - 1
end

local function started(fixed, life, id)
    forget_expiry(compose(fixed, life), id)
end

local function lease_plain(free, until_)
    local others = redis.call('ZRANGE', K.ready, 0, 0)
    local ids, fixed, numbers, front = next_in_line(free)
    -- Where the whole of the line that is wanted stands before the others, no more of
    -- them is looked at.
    if #others == 0 or (#ids == free and not is_first(others[1], fixed[free])) then
        lease(ids, fixed, hmget(K.lives, ids), until_, nil, started)
        meta.front, meta.in_line = front, meta.in_line - #ids
        return
    end
    others = redis.call('ZRANGE', K.ready, 0, min(free, 5000) - 1)
    local order, from_others, from_line = merged(others, fixed, free, #ids == meta.in_line)
    local other_ids = {}
    for i = 1, from_others do other_ids[i] = sub(others[i], 25) end
    local other_fixed, other_lives = hmget(K.jobs, other_ids), hmget(K.lives, other_ids)
    local all_ids, all_fixed, all_lives, waiting = {}, {}, {}, {}
    local lives = hmget(K.lives, ids)
    for i, at in ipairs(order) do
        if at > 0 then
            all_ids[i], all_fixed[i], all_lives[i] = other_ids[at], other_fixed[at], other_lives[at]
            local r = compose(other_fixed[at], other_lives[at])
            if is_indexed(r) then waiting[#waiting + 1] = sub(r, 34, 41) .. sub(r, 10, 17) .. all_ids[i] end
        else
            all_ids[i], all_fixed[i], all_lives[i] = ids[-at], fixed[-at], lives[-at]
        end
    end
    lease(all_ids, all_fixed, all_lives, until_, nil, started)
    -- They are the first there.
    if from_others > 0 then
        undo[#undo + 1] = function()
            for i = 1, from_others do redis.call('ZADD', K.ready, '0', others[i]) end
        end
        redis.call('ZREMRANGEBYRANK', K.ready, 0, from_others - 1)
    end
    zrem(K.waiting, waiting)
    if from_line == #ids then
        meta.front = front
    elseif from_line > 0 then
        meta.front = numbers[from_line]
    end
    meta.in_line = meta.in_line - from_line
end

local function lease_heads(free, until_)
    -- With one lease at a time, a partition that starts a job is closed by that: the
    -- heads can be taken together.
    local together = meta.own_leases == 1
    while #taken_ids < free do
        local wanted = together and min(free - #taken_ids, 1000) or 1
        local heads = redis.call('ZRANGE', K.heads, 0, wanted - 1)
        if #heads == 0 then return end
        local ids, partitions = {}, {}
        for i = 1, #heads do ids[i], partitions[i] = sub(heads[i], 25, 40), sub(heads[i], 49) end
        local fixed, lives = hmget(K.jobs, ids), hmget(K.lives, ids)
        local lines, waiting, starts, before = {}, {}, {}, #taken_ids
        lease(ids, fixed, lives, until_, partitions, started)
        for i = 1, #ids do
            local head, id, partition = heads[i], ids[i], partitions[i]
            lines[i] = line_prefix(partition) .. sub(head, 1, 48)
            waiting[i] = sub(head, 41, 48) .. sub(head, 17, 24) .. id
            touch(partition, 1)
            if meta.own_starts ~= NO_BOUND then
                starts[#starts + 1] = '0'
                starts[#starts + 1] = line_prefix(partition) .. NOW
                    .. sub(taken[2 * (before + i)], 10, 15)
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
        if not first or is_before(horizon, sub(first, 1, 8)) then return first end
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
    if not a or (b and is_before(b, a)) then return b end
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
    elseif meta.in_line > 0 or redis.call('EXISTS', K.ready) == 1 then
        return NOW
    end
    return moment
end

local function again()
    local moment = opening()
    if not moment then return 'e' end
    local free, opens = room()
    if free > 0 then
        if not is_before(NOW, moment) then return 'n' end
        return 'a' .. moment
    end
    if not opens then return 'e' end
    if is_before(opens, moment) then opens = moment end
    return 'a' .. opens
end

local function answer(when, shown, apart)
    local spec = false
    if ARGV[7] ~= meta.declared then spec = redis.call('HGET', K.meta, 's') end
    return { 'ok', NOW, when, meta.declared, spec, shown, apart }
end

return once(function()
    if not know_queue() then return { 'unknown' } end
    if meta.is_paused then return answer('e', {}, {}), false end
    if not tick() then return { 'more' } end
    local free = min(tonumber(ARGV[5]), (room()))
    local token, front, in_line = meta.token, meta.front, meta.in_line
    if free > 0 then
        local until_ = later(NOW, ARGV[6])
        holder = ARGV[4] .. NOW
        if meta.is_partitioned then
            lease_heads(free, until_)
        else
            lease_plain(free, until_)
        end
        if #taken_ids > 0 and meta.starts ~= NO_BOUND then
            redis.call('RPUSH', K.starts, NOW .. spack('>I4', #taken_ids))
            undo[#undo + 1] = function() redis.call('RPOP', K.starts) end
            meta.in_window = meta.in_window + #taken_ids
        end
        if meta.is_partitioned then judge_touched() end
    end
    -- Who asks an empty queue again and again writes nothing.
    local is_idle = meta.token == token and meta.front == front
    if not is_idle then
        hset(K.meta, { 't', meta.token, 'f', meta.front, 'n', meta.in_line },
            { t = token, f = front, n = in_line })
    end
    if tostring(meta.in_window) ~= (meta.window or '0') then
        hset_one(K.meta, 'w', meta.in_window, meta.window)
    end
    -- The line was looked through as far as one call should, and there is more of it.
    if #taken_ids == 0 and free > 0 and meta.in_line > 0 then return { 'more' } end
    local when, apart = again(), {}
    for i = 1, #taken_ids do
        local has = band(byte(taken[2 * i], 3), FULL)
        if has ~= 0 then show_apart(apart, i, taken_ids[i], has) end
    end
    if #taken_ids == 0 then return answer(when, taken, apart), false end
    return answer(when, taken, apart), { 'ok', NOW, when, table.concat(taken_ids), token }
end, function(kept)
    -- Which of them are still leased as they were then: under tokens that followed each
    -- other, and not under a later one, which somebody else may have been given.
    if kept[1] ~= 'ok' then return kept end
    know_queue()
    local ids, records, token = {}, {}, kept[5]
    for at = 1, #kept[4], 16 do
        local id = sub(kept[4], at, at + 15)
        local r = read_record(id)
        token = token + 1
        if r and sub(r, 1, 1) == 'a' and sub(r, 50, 55) == spack('>I6', token) then
            ids[#ids + 1], records[#records + 1] = id, r
        end
    end
    local shown, apart = show(ids, records, FULL)
    return answer(kept[3], shown, apart)
end)

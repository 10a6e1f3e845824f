-- Carries out transitions whose guards hold (rules L2, R1, R7, D1, C1, C2).
-- arguments  4 a letter for each: c completed or d removed under its lease, and nothing
--            else; or - . 5 on, of the former id (16), and version and token (6, 6);
--            of the others the head, and what else it writes if the head says so. Head: id (16); version (6); token (6) and guard (n none, h held, r run
--            out); target: s stay, S stay and asked to stop, p pending, c f x e ended,
--            d removed; moment (1, 8) and place (d of that moment, k kept); whether
--            the expiry is dropped (1); + or -.
--            What else: letter (c course, p payload, r result, s step: position (4),
--            length of its name (2), name, outcome), length (4), bytes; …
-- answer     ok, now, what became of each (a applied, s stale, g gone, k key taken),
--            of the stale ones and the taken keys: number, and record or who has the
--            key; jobs to be decided about; messages for other queues
--            unknown: the queue was never declared
-- why        each transition alone with all that belongs to it; those of one job see
--            each other
-- full       goes on: work comes to its end
-- with       base write record meta partitions place pages ends settle dedup graph remove
-- What is the same for many jobs is written together.
local function flush()
    flush_ends()
    flush_records()
    flush_removed()
end

-- Takes a job out of the indexes of the state it is in.
local function depart(r, id)
    local state, seq = sub(r, 1, 1), sub(r, 10, 17)
    if state == 'a' then
        leases[#leases + 1] = sub(r, 56, 63) .. seq .. id
        if meta.is_partitioned then touch(partition_of(r), -1) end
    elseif state == 'p' or state == 'r' then
        detach(r, id)
    elseif state == 'b' then
        zrem_one(K.blocked, seq .. id)
        zrem_one(K.unblocked, seq .. id)
        zrem_one(K.doubts, id)
        forget_expiry(r, id)
    else
        drop_end(state)
    end
end

-- What a transition writes apart from the record. Answers the flags of it.
local function keep_apart(id, apart, rest)
    local at = 1
    while at <= #rest do
        local letter, size = sub(rest, at, at), sunpack('>I4', rest, at + 1)
        local value = sub(rest, at + 5, at + 4 + size)
        at = at + 5 + size
        local flag = letter == 'c' and COURSE or letter == 'p' and PAYLOAD or RESULT
        if letter == 's' then
            local field = id .. sub(value, 1, 4)
            if redis.call('HEXISTS', K.steps, field) == 0 then
                hset_one(K.steps, field, sub(value, 5), false)
                zadd_one(K.step_order, field)
            end
            apart = bor(apart, STEPS)
        elseif value == '' and flag == COURSE then
            hdel_one(K.blobs, id .. letter)
            apart = band(apart, 255 - flag)
        else
            local before = false
            if band(apart, flag) ~= 0 then before = redis.call('HGET', K.blobs, id .. letter) end
            hset_one(K.blobs, id .. letter, value, before)
            apart = bor(apart, flag)
        end
    end
    return apart
end

local function holds(r, head)
    if sub(r, 4, 9) ~= sub(head, 17, 22) then return false end
    local guard = sub(head, 29, 29)
    if guard == 'n' then return true end
    if sub(r, 1, 1) ~= 'a' or sub(r, 50, 55) ~= sub(head, 23, 28) then return false end
    return guard == 'h' or not is_before(NOW, sub(r, 56, 63))
end

-- Who else has the key of a job that comes back to life.
local function taken_by(r, id)
    if band(byte(r, 2), DEDUP) == 0 then return nil end
    local at = part_at(r, DEDUP)
    local key = text_at(r, at)
    local by = holder_of(key)
    if by and by ~= id then return by, key end
    take_key(key, id, sub(r, at + 2 + #key, at + 9 + #key))
    return nil
end

-- Whatever is asked of a job, whatever it has.
local function apply_one(head, rest, told, number)
    local id = sub(head, 1, 16)
    if done[id] then flush() end
    local r = load(id)
    if not r then return 'g' end
    if not holds(r, head) then
        local shown, apart = show({ id }, { r }, SUMMARY)
        told[#told + 1] = { number, shown, apart }
        return 's'
    end
    -- Somebody in another queue is about to depend on it.
    if sub(head, 30, 30) == 'd' and has_needed and band(byte(r, 2), NEEDED) == 0
        and redis.call('HEXISTS', K.needed, id) == 1 then
        show_needed(id, r)
        local shown, apart = show({ id }, { load(id) }, SUMMARY)
        told[#told + 1] = { number, shown, apart }
        return 's'
    end
    done[id] = true
    local target, was_ended = sub(head, 30, 30), is_ended(r)
    local flags, apart, run = byte(r, 2), byte(r, 3), run_of(r)
    if target == 'p' and was_ended then
        local by, key = taken_by(r, id)
        if by then
            told[#told + 1] = { number, by, key }
            return 'k'
        end
    end
    local drops = sub(head, 41, 41) == '1'
    if target == 's' or target == 'S' then
        if drops and sub(r, 1, 1) ~= 'a' then forget_expiry(r, id) end
    else
        depart(r, id)
    end
    if target == 'd' then
        remove(r, id)
        return 'a'
    end
    if rest ~= '' then apart = keep_apart(id, apart, rest) end
    if drops then apart = bor(apart, DROPPED) end
    local state, place, due = target, sub(r, 26, 33), sub(r, 34, 41)
    if target == 's' or target == 'S' then
        state = sub(r, 1, 1)
        if target == 'S' and state == 'a' then flags = bor(flags, ASKED) end
        store(id, remake(r, state, flags, apart, place, due, run))
        return 'a'
    end
    if target == 'p' then
        due = resolve(sub(head, 31, 31), sub(head, 32, 39))
        if sub(head, 40, 40) == 'd' or is_before(due, place) then place = due end
        if was_ended then
            flags = band(flags, 255 - ASKED)
            if band(apart, RESULT) ~= 0 then
                hdel_one(K.blobs, id .. 'r')
                apart = band(apart, 255 - RESULT)
            end
        end
        local new = remake(r, 'p', flags, apart, place, due, run)
        store(id, new)
        attach(new, id)
        if was_ended then tell_need(new, id, 'l') end
        return 'a'
    end
    if run == '' then
        run = '\0\0\0\0\0\0' .. NOW .. NOBODY .. NONE
    else
        run = sub(run, 1, 6) .. NOW .. sub(run, 15)
    end
    local new = remake(r, state, flags, apart, place, due, run)
    store(id, new)
    note_end(state, id)
    if not was_ended then
        if band(flags, DEDUP) ~= 0 then release_key(r, id) end
        count_end(new, id, target == 'c' and 'c' or 'b')
        tell_need(new, id, 'o')
    end
    return 'a'
end

return once(function()
    if not know_queue() then return { 'unknown' } end
    -- Those that are told in few words are the ends of leases.
    local shapes, ids, heads, rests, at = ARGV[4], {}, {}, {}, 5
    for i = 1, #shapes do
        local head, rest = ARGV[at], ''
        heads[i], ids[i] = head, head
        at = at + 1
        if byte(shapes, i) == 45 then
            ids[i] = sub(head, 1, 16)
            if byte(head, 42) == 43 then
                rest = ARGV[at]
                at = at + 1
            end
        else
            rest = ARGV[at]
            at = at + 1
        end
        rests[i] = rest
    end
    local now = hmget(K.lives, ids)
    -- What needs more than its life is read at once.
    local whole = {}
    for i = 1, #heads do
        local life = now[i]
        if byte(shapes, i) == 45 or (life and band(byte(life, 2), OTHERS_KNOW) ~= 0) then
            whole[#whole + 1] = ids[i]
        end
    end
    load_all(whole)
    local letters, told = {}, {}
    for i = 1, #heads do
        local shape = sub(shapes, i, i)
        if shape == '-' then
            letters[i] = apply_one(heads[i], rests[i], told, i)
        elseif changed[ids[i]] == nil and end_lease(shape, ids[i], rests[i], now[i]) then
            letters[i] = 'a'
            if shape == 'd' then changed[ids[i]] = false end
            if meta.is_partitioned then touch(sub(now[i], 72), -1) end
        else
            local head = ids[i] .. rests[i] .. 'h' .. shape .. 'n' .. NONE .. '-0-'
            letters[i] = apply_one(head, '', told, i)
        end
    end
    flush()
    if meta.is_partitioned then judge_touched() end
    local shown, apart = show_named()
    local news = {}
    if redis.call('EXISTS', K.outbox) == 1 then news = messages(1000) end
    return { 'ok', NOW, table.concat(letters), told, shown, apart, news }
end)

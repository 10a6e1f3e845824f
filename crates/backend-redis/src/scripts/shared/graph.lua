-- Who waits for whom. A job and its dependency may stand in different queues, and so
-- on different machines: each side keeps its own half, and what one side has to tell
-- the other is in `outbox` until the other has heard it. All that is told says how
-- things are, so that hearing it twice does no harm.
--
-- Of a job that waits: `needs` has, by its id, what it depends on, in order: length
-- of the queue's name (1), name, id; `needs_state` has, by its id and the other's, o
-- (open), c (completed) or b (broken). `unblocked` has, by seq, those to be decided
-- about.
-- Of a job that others wait for: `needers` is sorted by its id, the other's id, and
-- that one's queue; `needer_state` has, by both ids, whether its end is still to be
-- counted (1), whether the other has not ended (1), and that one's version (6); behind
-- that, since when (8), while the other, of another queue, is yet to be stored.
-- `needed` has, by its id, how many of them have not ended.
-- `outbox`: by c, dependency, dependent: how it ended, and the dependent's queue; by
-- n, dependency, dependent: l (live), o (over) or g (gone), the dependent's version,
-- and the dependency's queue.
local changed, changed_list, fixed_before, life_before = {}, {}, {}, {}
local named, named_set = {}, {}

-- The record of a job as this script has left it so far; false if there is none.
local function load(id)
    local r = changed[id]
    if r == nil then
        local fixed, life = redis.call('HGET', K.jobs, id), redis.call('HGET', K.lives, id)
        r = compose(fixed, life)
        changed[id], fixed_before[id], life_before[id] = r, fixed, life
    end
    return r
end

local dirty = {}
local function store(id, r)
    if not dirty[id] then
        dirty[id] = true
        changed_list[#changed_list + 1] = id
    end
    changed[id] = r
end

-- Writes the records that were changed.
local function flush_records()
    if #changed_list == 0 then return end
    local fixed, lives, gone, fixed_then, lives_then = {}, {}, {}, {}, {}
    for i = 1, #changed_list do
        local id = changed_list[i]
        local r, before, life = changed[id], fixed_before[id], life_before[id]
        fixed_then[id], lives_then[id] = before, life
        if not r then
            gone[#gone + 1] = id
        else
            if before or sub(r, 4, 9) ~= FIRST_VERSION then
                lives[#lives + 1], lives[#lives + 2] = id, life_of(r)
            end
            -- That it stands in the main line is all that is ever changed of its state.
            if not before or sub(before, 44) ~= sub(r, tail_at(r))
                or (sub(before, 1, 1) == 'r' and sub(r, 1, 1) ~= 'r') then
                fixed[#fixed + 1], fixed[#fixed + 2] = id, fixed_of(r)
            end
        end
        changed[id], fixed_before[id], life_before[id] = nil, nil, nil
    end
    hset(K.jobs, fixed, fixed_then)
    hset(K.lives, lives, lives_then)
    hdel(K.jobs, gone, fixed_then)
    hdel(K.lives, gone, lives_then)
    changed_list, dirty = {}, {}
end

-- Names a blocked job about which core has to decide.
local function name_unblocked(r, id)
    if not named_set[id] then
        named_set[id] = true
        named[#named + 1] = id
    end
    zadd_one(K.unblocked, sub(r, 10, 17) .. id)
end

local function dependency_counts(r)
    return sunpack('>I4I4', r, part_at(r, DEPENDS))
end

local function with_counts(r, open, broken)
    local at = part_at(r, DEPENDS)
    return sub(r, 1, at - 1) .. spack('>I4I4', open, broken) .. sub(r, at + 8)
end

-- Counts with a job that one it depends on has ended: c or b.
local function count_one(id, dependency, how)
    local r = load(id)
    if not r or redis.call('HGET', K.needs_state, id .. dependency) ~= 'o' then return end
    hset_one(K.needs_state, id .. dependency, how, 'o')
    local open, broken = dependency_counts(r)
    open = max(0, open - 1)
    if how == 'b' then broken = broken + 1 end
    r = with_counts(r, open, broken)
    store(id, r)
    if sub(r, 1, 1) == 'b' and (open == 0 or broken > 0) then name_unblocked(r, id) end
end

-- Counts a job's end, how, with each that depends on it, once.
local function count_end(r, id, how)
    if band(byte(r, 2), NEEDED) == 0 then return end
    local after = '[' .. id
    repeat
        local found = redis.call('ZRANGEBYLEX', K.needers, after, '(' .. id .. HIGH .. HIGH .. HIGH, 'LIMIT', 0, 500)
        for i = 1, #found do
            local other, queue = sub(found[i], 17, 32), sub(found[i], 33)
            local state = redis.call('HGET', K.needer_state, id .. other)
            if state and sub(state, 1, 1) == '1' then
                hset_one(K.needer_state, id .. other, '0' .. sub(state, 2), state)
                if queue == '' then
                    count_one(other, id, how)
                else
                    hset_one(K.outbox, 'c' .. id .. other, how .. queue, false)
                end
            end
            after = '(' .. found[i]
        end
    until #found < 500
end

local function set_needed(dependency, difference)
    local before = redis.call('HGET', K.needed, dependency)
    local count = tonumber(before or '0') + difference
    if count > 0 then
        hset_one(K.needed, dependency, tostring(count), before)
    elseif before then
        hdel_one(K.needed, dependency)
    end
end

-- Hears with a dependency that a job is live, over or gone: l, o, g.
local function hear_need(dependency, id, queue, what, version)
    local state = redis.call('HGET', K.needer_state, dependency .. id)
    -- One that was removed and stored anew knows nothing of it. What is older than
    -- what was heard last says nothing.
    if not state or (what ~= 'g' and sunpack('>I6', state, 3) > sunpack('>I6', version)) then return end
    local was_live = sub(state, 2, 2) == '1'
    if what == 'g' then
        hdel_one(K.needer_state, dependency .. id)
        zrem_one(K.needers, dependency .. id .. queue)
    else
        local live = what == 'l' and '1' or '0'
        hset_one(K.needer_state, dependency .. id, sub(state, 1, 1) .. live .. version, state)
    end
    local is_live = what == 'l'
    if was_live and not is_live then
        set_needed(dependency, -1)
    elseif is_live and not was_live then
        set_needed(dependency, 1)
    end
end

-- Shows of a job that others depend on it. Whoever has decided about it without
-- knowing has to decide again.
local function show_needed(id, r)
    if band(byte(r, 2), NEEDED) ~= 0 then return end
    store(id, sub(r, 1, 1) .. char(byte(r, 2) + NEEDED, byte(r, 3)) .. next_number(sub(r, 4, 9)) .. sub(r, 10))
end

-- What a job depends on: pairs of queue and id. An empty name is this queue.
local function needs_of(id)
    local list, found, at = redis.call('HGET', K.needs, id), {}, 1
    while list and at <= #list do
        local size = byte(list, at)
        found[#found + 1] = { sub(list, at + 1, at + size), sub(list, at + size + 1, at + size + 16) }
        at = at + size + 17
    end
    return found
end

-- Tells those that a job depends on how it stands: l, o, g.
local function tell_need(r, id, what)
    if band(byte(r, 2), DEPENDS) == 0 then return end
    local version = sub(r, 4, 9)
    for _, pair in ipairs(needs_of(id)) do
        if pair[1] == '' then
            hear_need(pair[2], id, '', what, version)
        else
            local field = 'n' .. pair[2] .. id
            local before = redis.call('HGET', K.outbox, field)
            hset_one(K.outbox, field, what .. version .. pair[1], before)
        end
    end
end

-- Notes with a dependency that a job depends on it: r that it will (the dependency is
-- kept, and does not show it), n that it does, a only asks. Answers how the dependency
-- stands: o, c, b, or - if there is none.
local function link(dependency, id, queue, noting)
    local r = load(dependency)
    if not r then return '-' end
    local state, stands = sub(r, 1, 1), 'o'
    if state == 'c' then
        stands = 'c'
    elseif is_ended(r) then
        stands = 'b'
    end
    if noting == 'a' then return stands end
    local before = redis.call('HGET', K.needer_state, dependency .. id)
    if not before then
        local since = noting == 'r' and NOW or ''
        local open = stands == 'o' and '1' or '0'
        hset_one(K.needer_state, dependency .. id, open .. '1' .. rep(char(0), 6) .. since, false)
        zadd_one(K.needers, dependency .. id .. queue)
        set_needed(dependency, 1)
    elseif noting == 'n' and #before > 8 then
        hset_one(K.needer_state, dependency .. id, sub(before, 1, 8), before)
    end
    if noting == 'n' then show_needed(dependency, r) end
    return stands
end

-- What is to be told to other queues, so many at most.
local function messages(limit)
    local found = redis.call('HSCAN', K.outbox, '0', 'COUNT', limit)
    return found[2]
end

local function show_named()
    local ids, records = {}, {}
    for i = 1, #named do
        local r = load(named[i])
        if r and sub(r, 1, 1) == 'b' then
            ids[#ids + 1] = named[i]
            records[#records + 1] = r
        end
    end
    return show(ids, records, SUMMARY)
end

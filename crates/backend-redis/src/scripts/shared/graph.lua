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
-- n, dependency, dependent: l (live), o (over) or g (gone; u: never stored), the
-- dependent's version, and the dependency's queue.
local changed, changed_list, fixed_before, life_before = {}, {}, {}, {}
local named, named_set = {}, {}

-- Reads the records of jobs that this script has not read so far.
local function load_all(ids)
    local missing, asked = {}, {}
    for i = 1, #ids do
        local id = ids[i]
        if changed[id] == nil and not asked[id] then
            asked[id] = true
            missing[#missing + 1] = id
        end
    end
    local fixed, lives = hmget(K.jobs, missing), hmget(K.lives, missing)
    for i = 1, #missing do
        local id = missing[i]
        changed[id] = compose(fixed[i], lives[i])
        fixed_before[id], life_before[id] = fixed[i], lives[i]
    end
end

-- The record of a job as this script has left it so far; false if there is none.
local function load(id)
    if changed[id] == nil then load_all({ id }) end
    return changed[id]
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

-- Names blocked jobs about which core has to decide: of each its seq and its id.
local function name_unblocked(members)
    local fresh = {}
    for from = 1, #members, 1000 do
        local to = min(from + 999, #members)
        local there = redis.call('ZMSCORE', K.unblocked, unpack(members, from, to))
        for i = from, to do
            local id = sub(members[i], 9)
            if not named_set[id] then
                named_set[id] = true
                named[#named + 1] = id
            end
            if not there[i - from + 1] then
                fresh[#fresh + 1], fresh[#fresh + 2] = '0', members[i]
            end
        end
    end
    zadd(K.unblocked, fresh)
end

local function dependency_counts(r)
    return sunpack('>I4I4', r, part_at(r, DEPENDS))
end

local function with_counts(r, open, broken)
    local at = part_at(r, DEPENDS)
    return sub(r, 1, at - 1) .. spack('>I4I4', open, broken) .. sub(r, at + 8)
end

-- Counts with jobs that one they depend on has ended, each once. `ends` has of each
-- the job (16), the other (16), and how that ended: c or b.
local function count_ends(ends)
    local fields, open_ones, ids = {}, {}, {}
    for i = 1, #ends do fields[i] = sub(ends[i], 1, 32) end
    local states = hmget(K.needs_state, fields)
    for i = 1, #ends do
        if states[i] == 'o' then
            open_ones[#open_ones + 1] = i
            ids[#ids + 1] = sub(fields[i], 1, 16)
        end
    end
    load_all(ids)
    local counted, before, members = {}, {}, {}
    for n, i in ipairs(open_ones) do
        local id, field, how = ids[n], fields[i], sub(ends[i], 33, 33)
        local r = load(id)
        if r and not before[field] then
            before[field] = 'o'
            counted[#counted + 1], counted[#counted + 2] = field, how
            local open, broken = dependency_counts(r)
            open = max(0, open - 1)
            if how == 'b' then broken = broken + 1 end
            r = with_counts(r, open, broken)
            store(id, r)
            if sub(r, 1, 1) == 'b' and (open == 0 or broken > 0) then
                members[#members + 1] = sub(r, 10, 17) .. id
            end
        end
    end
    hset(K.needs_state, counted, before)
    name_unblocked(members)
end

-- Counts a job's end, how, with each that depends on it, once.
local function count_end(r, id, how)
    if band(byte(r, 2), NEEDED) == 0 then return end
    local after = '[' .. id
    repeat
        local found = redis.call('ZRANGEBYLEX', K.needers, after, '(' .. id .. HIGH .. HIGH .. HIGH, 'LIMIT', 0, 1000)
        local fields, ends, heard, before, told = {}, {}, {}, {}, {}
        for i = 1, #found do fields[i] = sub(found[i], 1, 32) end
        local states = hmget(K.needer_state, fields)
        for i = 1, #found do
            local field, state, queue = fields[i], states[i], sub(found[i], 33)
            if state and sub(state, 1, 1) == '1' then
                before[field] = state
                heard[#heard + 1], heard[#heard + 2] = field, '0' .. sub(state, 2)
                if queue == '' then
                    ends[#ends + 1] = sub(field, 17) .. id .. how
                else
                    told[#told + 1], told[#told + 2] = 'c' .. field, how .. queue
                end
            end
        end
        hset(K.needer_state, heard, before)
        hset(K.outbox, told, {})
        count_ends(ends)
        after = '(' .. (found[#found] or '')
    until #found < 1000
end

-- Adds to how many wait for jobs. `differences` is by the job.
local function add_needed(dependencies, differences)
    local found = hmget(K.needed, dependencies)
    local counts, gone, before = {}, {}, {}
    for i = 1, #dependencies do
        local dependency = dependencies[i]
        local count = tonumber(found[i] or '0') + differences[dependency]
        before[dependency] = found[i]
        if count > 0 then
            counts[#counts + 1], counts[#counts + 2] = dependency, tostring(count)
        elseif found[i] then
            gone[#gone + 1] = dependency
        end
    end
    hset(K.needed, counts, before)
    hdel(K.needed, gone, before)
end

-- Hears with a dependency that a job is live, over or gone: l, o, g; or u, that one that
-- was to depend on it was not stored, which says nothing of one that was.
local function hear_need(dependency, id, queue, what, version)
    local state = redis.call('HGET', K.needer_state, dependency .. id)
    -- One that was removed and stored anew knows nothing of it. What is older than
    -- what was heard last says nothing.
    if not state or (what == 'u' and #state == 8) then return end
    local is_gone = what == 'g' or what == 'u'
    if not is_gone and sunpack('>I6', state, 3) > sunpack('>I6', version) then return end
    local was_live = sub(state, 2, 2) == '1'
    if is_gone then
        hdel_one(K.needer_state, dependency .. id)
        zrem_one(K.needers, dependency .. id .. queue)
    else
        local live = what == 'l' and '1' or '0'
        hset_one(K.needer_state, dependency .. id, sub(state, 1, 1) .. live .. version, state)
    end
    local is_live = what == 'l'
    if was_live ~= is_live then
        add_needed({ dependency }, { [dependency] = is_live and 1 or -1 })
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

-- Notes with jobs that jobs of a queue depend on them. `edges` has of each the
-- dependency (16), the dependent (16), and r that it will (the dependency is kept, and
-- does not show it), n that it does, or a only asks. Answers how each dependency stands:
-- o, c, b, or - if there is none.
local function link(edges, queue)
    local needed, fields = {}, {}
    for i = 1, #edges do
        needed[i], fields[i] = sub(edges[i], 1, 16), sub(edges[i], 1, 32)
    end
    load_all(needed)
    local found = hmget(K.needer_state, fields)
    local stands, before, now, states, members = {}, {}, {}, {}, {}
    local waited_for, more = {}, {}
    local function note(field, state)
        now[field] = state
        states[#states + 1], states[#states + 2] = field, state
    end
    for i = 1, #edges do
        local dependency, field, noting = needed[i], fields[i], sub(edges[i], 33, 33)
        local r = load(dependency)
        if not r then
            stands[i] = '-'
        else
            stands[i] = sub(r, 1, 1) == 'c' and 'c' or is_ended(r) and 'b' or 'o'
            if now[field] == nil then now[field], before[field] = found[i], found[i] end
            local known = now[field]
            -- Of a dependent that has ended and is stored anew, all begins anew.
            local is_new = not known or (noting == 'r' and sub(known, 2, 2) == '0')
            -- What was promised before may never have come to be: how the dependency stood
            -- then says nothing.
            if noting ~= 'a' and (is_new or #known > 8) then
                local since = noting == 'r' and NOW or ''
                note(field, (stands[i] == 'o' and '1' or '0') .. '1' .. rep(char(0), 6) .. since)
            end
            if noting ~= 'a' and is_new then
                if not known then members[#members + 1], members[#members + 2] = '0', field .. queue end
                if not more[dependency] then waited_for[#waited_for + 1] = dependency end
                more[dependency] = (more[dependency] or 0) + 1
            end
            if noting == 'n' then show_needed(dependency, r) end
        end
    end
    hset(K.needer_state, states, before)
    zadd(K.needers, members)
    add_needed(waited_for, more)
    return stands
end

-- What is to be told to other queues, so many at most; the sweep tells the others.
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

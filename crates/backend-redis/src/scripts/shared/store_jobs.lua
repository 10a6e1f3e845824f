-- Storing a batch of new jobs, all or none. From ARGV[first] on: how many; of each its
-- head, the rest, the payload if the head says that it is kept apart, and what few jobs
-- have if it says so.
-- Head: id (16), flags (1, 1), base (8), moment (1, 8), + or - (1).
-- What few have: expiry (1, 8); hold (h or -, 8), latest (h or -, 8); partition,
-- deduplication key and labels, each with its length in 2; parent in this queue (l or
-- -), its id (16), token (6); how many dependencies (2), and of each how it stands if
-- it is in another queue (o, c, b; l: it is in this one), its id (16), the length of
-- its queue's name (1) and the name; how many jobs of other queues will depend on it
-- (2), and of each its id (16), the length of its queue's name (1) and the name.

local function read_special(s)
    local it = { expires_kind = sub(s, 1, 1), expires = sub(s, 2, 9) }
    it.hold, it.latest = sub(s, 10, 18), sub(s, 19, 27)
    local at = 28
    for _, name in ipairs({ 'partition', 'dedup', 'labels' }) do
        it[name] = text_at(s, at)
        at = at + 2 + #it[name]
    end
    it.parent, it.parent_id, it.token = sub(s, at, at), sub(s, at + 1, at + 16), sub(s, at + 17, at + 22)
    local count = sunpack('>I2', s, at + 23)
    at = at + 25
    it.needs = {}
    for i = 1, count do
        local size = byte(s, at + 17)
        it.needs[i] = { sub(s, at, at), sub(s, at + 1, at + 16), sub(s, at + 18, at + 17 + size) }
        at = at + 18 + size
    end
    count = sunpack('>I2', s, at)
    at = at + 2
    it.promised = {}
    for i = 1, count do
        local size = byte(s, at + 16)
        it.promised[i] = { sub(s, at, at + 15), sub(s, at + 17, at + 16 + size) }
        at = at + 17 + size
    end
    return it
end

local function text(value)
    return spack('>I2', #value) .. value
end

-- A moment so long from now, if there is one.
local function held_until(wish)
    if sub(wish, 1, 1) == '-' then return NONE end
    return later(NOW, sub(wish, 2))
end

-- Stores what new jobs depend on, `linked` of these: their records are there already.
local function store_needs(ids, specials, linked)
    local edges = {}
    for _, i in ipairs(linked) do
        for _, need in ipairs(specials[i].needs) do
            if need[1] == 'l' then edges[#edges + 1] = need[2] .. ids[i] .. 'n' end
        end
    end
    local here, nth = link(edges, ''), 0
    local states, lists, blocked, doubts, expiring, members = {}, {}, {}, {}, {}, {}
    for _, i in ipairs(linked) do
        local id, list, in_doubt = ids[i], {}, false
        local open, broken = 0, 0
        for j, need in ipairs(specials[i].needs) do
            local stands = need[1]
            if stands == 'l' then
                nth = nth + 1
                stands = here[nth]
                list[j] = char(0) .. need[2]
            else
                in_doubt = true
                list[j] = char(#need[3]) .. need[3] .. need[2]
                -- What a former job with this id had to say is no longer so.
                hdel_one(K.outbox, 'n' .. need[2] .. id)
            end
            states[#states + 1], states[#states + 2] = id .. need[2], stands
            if stands == 'o' then
                open = open + 1
            elseif stands == 'b' then
                broken = broken + 1
            end
        end
        lists[#lists + 1], lists[#lists + 2] = id, table.concat(list)
        if in_doubt then doubts[#doubts + 1], doubts[#doubts + 2] = '0', id end
        local r = with_counts(load(id), open, broken)
        store(id, r)
        local member, expires = sub(r, 10, 17) .. id, expiry(r)
        blocked[#blocked + 1], blocked[#blocked + 2] = '0', member
        if expires then expiring[#expiring + 1], expiring[#expiring + 2] = '0', expires .. member end
        if open == 0 or broken > 0 then members[#members + 1] = member end
    end
    hset(K.needs_state, states, {})
    hset(K.needs, lists, {})
    zadd(K.blocked, blocked)
    zadd(K.doubts, doubts)
    zadd(K.expiring, expiring)
    name_unblocked(members)
end

-- Notes with new jobs that jobs of other queues will depend on them, which are stored in
-- the same batch: none of them ends unnoticed before that.
local function store_promises(ids, specials, letters)
    local queues, edges = {}, {}
    for i = 1, #ids do
        for _, other in ipairs(letters[i] == 's' and specials[i] and specials[i].promised or {}) do
            if not edges[other[2]] then
                edges[other[2]] = {}
                queues[#queues + 1] = other[2]
            end
            local of_queue = edges[other[2]]
            of_queue[#of_queue + 1] = ids[i] .. other[1] .. 'r'
        end
    end
    for _, queue in ipairs(queues) do link(edges[queue], queue) end
end

-- Answers nil and what became of each: letters (s stored, e existing, d duplicate, h
-- held), and of the last two the number and: ids and records, or id and moment; or
-- why the batch is refused: letter, number of the job, number of the dependency.
local function store_jobs(first)
    local count = tonumber(ARGV[first])
    local ids, heads, rests, specials, payloads = {}, {}, {}, {}, {}
    local at = first + 1
    for i = 1, count do
        local head = ARGV[at]
        ids[i], heads[i], rests[i] = sub(head, 1, 16), head, ARGV[at + 1]
        at = at + 2
        if band(byte(head, 18), PAYLOAD) ~= 0 then
            payloads[i] = ARGV[at]
            at = at + 1
        end
        if byte(head, 36) == 43 then
            specials[i] = read_special(ARGV[at])
            at = at + 1
        end
    end

    -- Which of them are new.
    local found = hmget(K.jobs, ids)
    local fresh, taken, letters, keys = {}, {}, {}, {}
    local new_ids, any_special = {}, false
    for i = 1, count do
        local id, special, letter = ids[i], specials[i], 's'
        if found[i] or fresh[id] then
            letter = 'e'
        elseif special then
            any_special = true
            if special.dedup ~= '' then
                local other = keys[special.dedup]
                if other then
                    letter = 'd'
                    taken[i] = { other }
                else
                    local by, is_live, held = holder_of(special.dedup)
                    if by then
                        letter = is_live and 'd' or 'h'
                        taken[i] = { by, held }
                    else
                        keys[special.dedup] = id
                    end
                end
            end
        end
        letters[i] = letter
        if letter == 's' then
            fresh[id] = true
            new_ids[#new_ids + 1] = id
        end
    end
    if any_special then
        for i = 1, count do
            local special = specials[i]
            if special and letters[i] == 's' then
                if special.parent == 'l' then
                    local r = load(special.parent_id)
                    if not r or sub(r, 1, 1) ~= 'a' or sub(r, 50, 55) ~= special.token then
                        return { 'p', i, 0 }
                    end
                end
                for j, need in ipairs(special.needs) do
                    if need[1] == '-' then return { 'd', i, j } end
                    if need[1] == 'l' and not fresh[need[2]] and not load(need[2]) then
                        return { 'd', i, j }
                    end
                end
            end
        end
    end

    -- From here on it is written.
    local fresh_count = #new_ids
    local last = 0
    if fresh_count > 0 then
        last = meta.last
        count_up(K.meta, 'q', fresh_count)
        add_to_pages(last, new_ids, false)
    end
    local linked, labels = {}, {}
    local seq_number, queue_number = last, sunpack('>I2', meta.number)
    for i = 1, count do
        if letters[i] == 's' then
            local head, id, special = heads[i], ids[i], specials[i]
            seq_number = seq_number + 1
            local seq = spack('>I6I2', seq_number, queue_number)
            if payloads[i] then hset_one(K.blobs, id .. 'p', payloads[i], false) end
            local due = resolve(sub(head, 27, 27), sub(head, 28, 35))
            local state, body = 'p', rests[i] .. id
            if special then
                local flags, parts = byte(head, 17), ''
                if band(flags, EXPIRES) ~= 0 then
                    parts = resolve(special.expires_kind, special.expires)
                end
                if band(flags, PARTITION) ~= 0 then parts = parts .. text(special.partition) end
                if band(flags, DEDUP) ~= 0 then
                    local held = held_until(special.hold)
                    parts = parts .. text(special.dedup) .. held .. held_until(special.latest)
                    take_key(special.dedup, id, held)
                end
                if band(flags, DEPENDS) ~= 0 then
                    state = 'b'
                    parts = parts .. NONE
                    linked[#linked + 1] = i
                end
                if band(flags, LABELS) ~= 0 then parts = parts .. text(special.labels) end
                body = parts .. body
            end
            local r = state .. sub(head, 17, 18) .. FIRST_VERSION .. seq .. sub(head, 19, 26)
                .. due .. due .. NOW .. body
            for _, label in ipairs(labels_of(r, id)) do
                labels[#labels + 1], labels[#labels + 2] = '0', label
            end
            fixed_before[id], life_before[id] = false, false
            store(id, r)
            if state == 'p' then attach(r, id) end
        end
    end

    zadd(K.labels, labels)
    -- A dependency may stand behind its dependent in the batch.
    if #linked > 0 then store_needs(ids, specials, linked) end
    if any_special then store_promises(ids, specials, letters) end
    if meta.is_partitioned then judge_touched() end
    flush_records()

    local told = {}
    for i = 1, count do
        if letters[i] == 'd' then
            local by = taken[i][1]
            local r = load(by)
            local shown, apart = show({ by }, { r }, SUMMARY)
            told[#told + 1] = { i, shown, apart }
        elseif letters[i] == 'h' then
            told[#told + 1] = { i, taken[i][1], taken[i][2] }
        end
    end
    return nil, table.concat(letters), told
end

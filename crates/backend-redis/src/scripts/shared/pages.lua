-- Every job by its enqueue sequence: 32 ids in a page, each at its place; `pages` has
-- how many of them are still stored (1 byte), which were put in the main line (4, the
-- first one in the lowest bit; see `place`), and the ids (16 each). `page_order` has
-- which pages there are.
local PAGE = 32
local BEFORE_IDS = 5
local EMPTY_PAGE = rep(char(0), BEFORE_IDS)

-- Notes the ids of jobs that follow the sequence number `last`, and whether they are put
-- in the main line.
local function add_to_pages(last, ids, in_line)
    local n, i = #ids, 1
    local set, before, fresh = {}, {}, {}
    while i <= n do
        local number = last + i - 1
        local page, at = floor(number / PAGE), number % PAGE
        local field = spack('>I6', page)
        local stored = nil
        -- Only the first one may have been begun.
        if i == 1 and at > 0 then stored = redis.call('HGET', K.pages, field) end
        local to = min(n, i + PAGE - at - 1)
        local old = stored or EMPTY_PAGE
        before[field] = stored or false
        if not stored then
            fresh[#fresh + 1] = '0'
            fresh[#fresh + 1] = field
        end
        local gap = at * 16 - (#old - BEFORE_IDS)
        local line = sunpack('>I4', old, 2)
        if in_line then line = line + 2 ^ at * (2 ^ (to - i + 1) - 1) end
        local value = spack('>I1I4', byte(old) + to - i + 1, line) .. sub(old, BEFORE_IDS + 1)
            .. rep(char(0), gap) .. table.concat(ids, '', i, to)
        set[#set + 1] = field
        set[#set + 1] = value
        i = to + 1
    end
    hset(K.pages, set, before)
    zadd(K.page_order, fresh)
end

-- Notes that jobs with these sequence numbers are gone.
local function drop_from_pages(sequences)
    local order, counts = {}, {}
    for i = 1, #sequences do
        local field = spack('>I6', floor((sunpack('>I6', sequences[i]) - 1) / PAGE))
        if not counts[field] then order[#order + 1] = field end
        counts[field] = (counts[field] or 0) + 1
    end
    local found = hmget(K.pages, order)
    local set, gone, before = {}, {}, {}
    for i = 1, #order do
        local page = found[i]
        if page then
            before[order[i]] = page
            local left = byte(page) - counts[order[i]]
            if left > 0 then
                set[#set + 1] = order[i]
                set[#set + 1] = char(left) .. sub(page, 2)
            else
                gone[#gone + 1] = order[i]
            end
        end
    end
    hset(K.pages, set, before)
    hdel(K.pages, gone, before)
    zrem(K.page_order, gone)
end

-- The ids of a page.
local function ids_in(page)
    local ids = {}
    for at = BEFORE_IDS + 1, #page, 16 do ids[#ids + 1] = sub(page, at, at + 15) end
    return ids
end

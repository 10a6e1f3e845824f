-- Giving leases, and finding the next jobs of the main line (see `place`).
local taken_ids, taken = {}, {}
-- Who has them, and since when.
local holder

-- Leases the jobs behind these ids. `partitions` has theirs, if the queue has any;
-- `started` is told of those that could have expired.
local function lease(ids, fixed, lives, until_, partitions, started)
    local set, leases, before = {}, {}, {}
    local n, k, token, number = 0, #taken_ids, meta.token, nil
    for i = 1, #ids do
        local id, s, life = ids[i], fixed[i], lives[i]
        token = token + 1
        number = spack('>I6', token)
        local new
        if life then
            local flags, apart = byte(life, 2, 3)
            if band(flags, EXPIRES) ~= 0 then started(s, life, id) end
            new = 'a' .. char(flags, bor(apart, RUN)) .. next_number(sub(life, 4, 9)) .. number
                .. until_ .. sub(life, 24, 47) .. holder
            before[id] = life
        else
            local flags, apart = byte(s, 2, 3)
            if band(flags, EXPIRES) ~= 0 then started(s, life, id) end
            new = 'a' .. char(flags, apart + RUN) .. '\0\0\0\0\0\2' .. number .. until_
                .. sub(s, 4, 27) .. holder
        end
        if partitions then new = sub(new, 1, 71) .. partitions[i] end
        set[n + 1], set[n + 2] = id, new
        leases[n + 1], leases[n + 2] = '0', sub(new, 16, 31) .. id
        n = n + 2
        k = k + 1
        taken_ids[k], taken[2 * k - 1], taken[2 * k] = id, s, new
    end
    meta.token = token
    hset(K.lives, set, before)
    zadd(K.leases, leases)
end

-- The next jobs of the main line, so many at most, with their places in it; and up to
-- where it was looked through. It is made of the pages of all jobs, of which some are
-- others, or gone.
local LOOKED_THROUGH = 4096
local function next_in_line(wanted)
    local ids, fixed, numbers = {}, {}, {}
    local at, found, looked = meta.front, 0, 0
    local stop = min(meta.last, at + LOOKED_THROUGH)
    if meta.in_line == 0 then return ids, fixed, numbers, meta.last end
    while found < wanted and at < stop do
        -- Mostly all that stand there are meant. Where they are not, each look is at
        -- more of them.
        local most = min(stop - at, 2000, max(wanted - found, looked))
        looked = 2 * most
        local fields, first_page = {}, floor(at / PAGE)
        for page = first_page, floor((at + most - 1) / PAGE) do
            fields[#fields + 1] = spack('>I6', page)
        end
        local some, places, n = {}, {}, 0
        for i, stored in ipairs(hmget(K.pages, fields)) do
            local first = (first_page + i - 1) * PAGE
            if stored then
                for j = max(0, at - first), min((#stored - 1) / 16, at + most - first) - 1 do
                    n = n + 1
                    some[n], places[n] = sub(stored, j * 16 + 2, j * 16 + 17), first + j + 1
                end
            end
        end
        local jobs = hmget(K.jobs, some)
        for i = 1, n do
            local s = jobs[i]
            -- An id may have been stored anew, further on.
            if s and byte(s) == 114 and sunpack('>I6', s, 4) == places[i] then
                if found == wanted then return ids, fixed, numbers, places[i] - 1 end
                found = found + 1
                ids[found], fixed[found], numbers[found] = some[i], s, places[i]
            end
        end
        at = at + most
    end
    return ids, fixed, numbers, at
end

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
-- others, or gone. So many jobs and pages are looked at in one call.
local MOST_JOBS, MOST_PAGES = 8192, 2048
local function next_in_line(wanted)
    local ids, fixed, numbers = {}, {}, {}
    local at, found, jobs_seen, pages_seen = meta.front, 0, 0, 0
    if meta.in_line == 0 then return ids, fixed, numbers, meta.last end
    -- Mostly all that stand there are meant. Where they are not, each look is at more.
    local most, ahead = wanted, 1
    while found < wanted and at < meta.last and jobs_seen < MOST_JOBS and pages_seen < MOST_PAGES do
        local fields, page = {}, floor(at / PAGE)
        local last_page = floor((meta.last - 1) / PAGE)
        for i = 0, min(last_page - page, max(ahead, floor((at + most - 1) / PAGE) - page + 1, 1) - 1, 511) do
            fields[i + 1] = spack('>I6', page + i)
        end
        local some, places, n = {}, {}, 0
        for i, stored in ipairs(hmget(K.pages, fields)) do
            local first = (page + i - 1) * PAGE
            local line = stored and sunpack('>I4', stored, 2) or 0
            local from = max(0, at - first)
            at = min(first + PAGE, meta.last)
            if line > 0 then
                line = floor(line / 2 ^ from)
                for j = from, PAGE - 1 do
                    if line % 2 == 1 then
                        n = n + 1
                        some[n] = sub(stored, j * 16 + BEFORE_IDS + 1, j * 16 + BEFORE_IDS + 16)
                        places[n] = first + j + 1
                    end
                    line = floor(line / 2)
                    if line == 0 then break end
                    if n == most then
                        at = first + j + 1
                        break
                    end
                end
                if n == most then break end
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
        jobs_seen, pages_seen = jobs_seen + n, pages_seen + #fields
        most, ahead = min(2000, max(wanted - found, 2 * most)), min(512, 4 * #fields)
    end
    return ids, fixed, numbers, at
end

-- Whether a job of `ready` stands before one of the main line. Their places are
-- unique: rank, then place, then sequence.
local function is_first(other, s)
    local a1, a2, a3, a4, a5, a6 = sunpack('>I4I4I4I4I4I4', other)
    local b1, b2 = sunpack('>I4I4', PLAIN)
    local b5, b6, b3, b4 = sunpack('>I4I4I4I4', s, 4)
    if a1 ~= b1 then return a1 < b1 end
    if a2 ~= b2 then return a2 < b2 end
    if a3 ~= b3 then return a3 < b3 end
    if a4 ~= b4 then return a4 < b4 end
    if a5 ~= b5 then return a5 < b5 end
    return a6 < b6
end

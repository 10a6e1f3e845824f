-- The ends of leases that need no more than what has become of the job.
local leases, ended, done = {}, {}, {}
local lives, lives_then, gone, removed = {}, {}, {}, {}

local function note_end(state, id)
    local list = ended[state]
    if not list then
        list = {}
        ended[state] = list
    end
    list[#list + 1] = id
end

-- Most transitions are ends of leases, of jobs that nobody else knows: they need no
-- more than what has become of the job. Answers whether this was one.
local has_needed = redis.call('EXISTS', K.needed) == 1
local OTHERS_KNOW = NEEDED + DEDUP + DEPENDS + LABELS
local KEPT_APART = PAYLOAD + RESULT + COURSE + PROGRESS + STEPS
local after = {}
local function end_lease(target, id, guard, life)
    if not life or byte(life) ~= 97 or done[id] or sub(life, 4, 15) ~= guard then
        return false
    end
    local flags, apart = byte(life, 2, 3)
    if band(flags, OTHERS_KNOW) ~= 0
        or (target == 'd' and (has_needed or band(apart, KEPT_APART) ~= 0)) then
        return false
    end
    done[id] = true
    leases[#leases + 1] = sub(life, 16, 31) .. id
    if target == 'd' then
        gone[#gone + 1] = id
        lives_then[id] = life
        removed[#removed + 1] = sub(life, 24, 31)
        return true
    end
    local before = sub(life, 1, 9)
    local now = after[before]
    if not now then
        now = target .. sub(life, 2, 3) .. next_number(sub(life, 4, 9))
        after[before] = now
    end
    local n = #lives
    lives[n + 1], lives[n + 2] = id, now .. sub(life, 10, 15) .. NOW .. sub(life, 24)
    lives_then[id] = life
    note_end(target, id)
    return true
end

-- Writes what was noted.
local function flush_ends()
    zrem(K.leases, leases)
    hset(K.lives, lives, lives_then)
    hdel(K.lives, gone, lives_then)
    -- What does not change of a job was not read: it goes last of all. A call has so many
    -- transitions at most that this is one command.
    for i = 1, #gone do
        finally = finally or { 'HDEL', K.jobs }
        finally[#finally + 1] = gone[i]
    end
    for _, state in ipairs({ 'c', 'f', 'x', 'e' }) do
        if ended[state] then add_ends(state, ended[state]) end
    end
    leases, ended, done, lives, lives_then, gone = {}, {}, {}, {}, {}, {}
end

local function flush_removed()
    if #removed == 0 then return end
    drop_from_pages(removed)
    removed = {}
end

-- A job as it is stored, in two strings.
--
-- What does not change (`jobs`, by id), is written once:
--   1       state: r in the main line (see `place`), p pending elsewhere, b blocked
--   2, 3    flags, as below       4-11  seq
--   12-19   place                 20-27 due
--   28-35   base                  36-43 enqueued
-- and then, each part if its flag says so: expiry (8); partition, with its length in 2;
-- deduplication key, with its length in 2, held until (8; zeros: not), latest (8); open
-- and broken dependencies (4 each); labels, with the length of all in 2 and of each in
-- 2; the rest, of which no script knows anything; and its id (16).
--
-- What has become of it since (`lives`, by id), absent before anything has:
--   1       state: r in the main line, p pending elsewhere, b blocked, a active,
--           c completed, f failed, x cancelled, e expired
--   2       flags: 1 asked to stop, 2 others depend on it, 4 aged, 8 expires,
--           16 partition, 32 deduplication key, 64 dependencies, 128 labels
--   3       flags: 1 payload, 2 result, 4 course, 8 progress apart; 16 steps,
--           32 expiry dropped, 64 has run (or ended)
--   4-9     version       10-15 token     16-23 end of the lease, or of the job
--   24-31   seq           32-39 place     40-47 due
--   48-63   worker        64-71 start (zeros: never)     72 on: partition
--
-- Lua keeps each string once, and finds it by a hash of its bytes: what a script costs
-- is mostly how many strings it makes, and how long they are. What is cut out of one, or
-- put together, therefore stands side by side. The fixed string ends with the id, because
-- some versions of Lua hash a few bytes only, the last among them.
--
-- Where speed does not matter, both are taken together as one record:
--   1 state   2, 3 flags   4-9 version   10-17 seq   18-25 base   26-33 place
--   34-41 due   42-49 enqueued   50-87 if it has run: token, end, worker, start
--   and behind that the parts from the expiry on.
local FIRST_VERSION = '\0\0\0\0\0\1'
local NEVER_RUN = rep(char(0), 38)

-- The record of what is stored.
local function compose(fixed, life)
    if not fixed then return false end
    if not life then
        return sub(fixed, 1, 3) .. FIRST_VERSION .. sub(fixed, 4, 11) .. sub(fixed, 28, 35)
            .. sub(fixed, 12, 27) .. sub(fixed, 36)
    end
    local run = ''
    if band(byte(life, 3), RUN) ~= 0 then run = sub(life, 10, 23) .. sub(life, 48, 71) end
    return sub(life, 1, 9) .. sub(life, 24, 31) .. sub(fixed, 28, 35) .. sub(life, 32, 47)
        .. sub(fixed, 36, 43) .. run .. sub(fixed, 44)
end

local function is_ended(r)
    local state = sub(r, 1, 1)
    return state == 'c' or state == 'f' or state == 'x' or state == 'e'
end

local function is_pending(r)
    local state = sub(r, 1, 1)
    return state == 'p' or state == 'r'
end

local function tail_at(r)
    if band(byte(r, 3), RUN) ~= 0 then return 88 end
    return 50
end

local function fixed_of(r)
    return sub(r, 1, 3) .. sub(r, 10, 17) .. sub(r, 26, 41) .. sub(r, 18, 25) .. sub(r, 42, 49)
        .. sub(r, tail_at(r))
end

-- Records by their ids; false for those that are not there.
local function read_records(ids)
    local fixed, lives = hmget(K.jobs, ids), hmget(K.lives, ids)
    local records = {}
    for i = 1, #ids do records[i] = compose(fixed[i], lives[i]) end
    return records
end

local function read_record(id)
    return compose(redis.call('HGET', K.jobs, id), redis.call('HGET', K.lives, id))
end

local function has_started(r)
    return band(byte(r, 3), RUN) ~= 0 and sub(r, 80, 87) ~= NONE
end

-- When it expires, if that still counts: it never does once it started.
local function expiry(r)
    if band(byte(r, 2), EXPIRES) == 0 or band(byte(r, 3), DROPPED) ~= 0 or has_started(r) then
        return nil
    end
    local at = tail_at(r)
    return sub(r, at, at + 7)
end

-- Where its part for a flag begins.
local function part_at(r, flag)
    local flags, at = byte(r, 2), tail_at(r)
    if band(flags, EXPIRES) ~= 0 then at = at + 8 end
    if flag == PARTITION then return at end
    if band(flags, PARTITION) ~= 0 then at = at + 2 + sunpack('>I2', r, at) end
    if flag == DEDUP then return at end
    if band(flags, DEDUP) ~= 0 then at = at + 18 + sunpack('>I2', r, at) end
    if flag == DEPENDS then return at end
    if band(flags, DEPENDS) ~= 0 then at = at + 8 end
    return at
end

local function text_at(r, at)
    return sub(r, at + 2, at + 1 + sunpack('>I2', r, at))
end

local function partition_of(r)
    if band(byte(r, 2), PARTITION) == 0 then return '' end
    return text_at(r, part_at(r, PARTITION))
end

local function life_of(r)
    local run = NEVER_RUN
    if band(byte(r, 3), RUN) ~= 0 then run = sub(r, 50, 87) end
    return sub(r, 1, 9) .. sub(run, 1, 14) .. sub(r, 10, 17) .. sub(r, 26, 41) .. sub(run, 15)
        .. partition_of(r)
end

-- Its place in the order: 24 bytes.
local function order_key(r)
    local base, place = sub(r, 18, 25), sub(r, 26, 33)
    if band(byte(r, 2), AGED) ~= 0 then base = sum(base, place) end
    return base .. place .. sub(r, 10, 17)
end

-- Its labels, as they stand in the index.
local function labels_of(r, id)
    local found = {}
    if band(byte(r, 2), LABELS) == 0 then return found end
    local at = part_at(r, LABELS)
    local all = text_at(r, at)
    at = 1
    while at <= #all do
        local size = sunpack('>I2', all, at)
        found[#found + 1] = sub(all, at, at + 1 + size) .. sub(r, 10, 17) .. id
        at = at + 2 + size
    end
    return found
end

-- The same record in another state, with its next version. `run` is 38 bytes or
-- nothing.
local function remake(r, state, flags, apart, place, due, run)
    if run ~= '' then
        apart = bor(apart, RUN)
    end
    return state .. char(flags, apart) .. next_number(sub(r, 4, 9)) .. sub(r, 10, 25)
        .. place .. due .. sub(r, 42, 49) .. run .. sub(r, tail_at(r))
end

local NOBODY = rep(char(0), 16)

-- What it has run so far, for one that ends, or goes back, now.
local function run_of(r)
    if band(byte(r, 3), RUN) ~= 0 then return sub(r, 50, 87) end
    return ''
end

-- What is kept apart of a job, as far as `wanted` has flags for it: adds the number,
-- a letter and bytes of each.
local LETTERS = { { PAYLOAD, 'p' }, { RESULT, 'r' }, { COURSE, 'c' }, { PROGRESS, 'g' } }
local SUMMARY, FULL = COURSE + PROGRESS, COURSE + PROGRESS + PAYLOAD + RESULT
local function show_apart(apart, number, id, has)
    for _, letter in ipairs(LETTERS) do
        if band(has, letter[1]) ~= 0 then
            local value = redis.call('HGET', K.blobs, id .. letter[2])
            if value then
                local n = #apart
                apart[n + 1], apart[n + 2], apart[n + 3] = number, letter[2], value
            end
        end
    end
end

-- What callers are shown of jobs: the two strings of each, and what is kept apart.
local function show(ids, records, wanted)
    local shown, apart = {}, {}
    for i = 1, #ids do
        local r = records[i]
        shown[2 * i - 1], shown[2 * i] = fixed_of(r), life_of(r)
        local has = band(byte(r, 3), wanted)
        if has ~= 0 then show_apart(apart, i, ids[i], has) end
    end
    return shown, apart
end

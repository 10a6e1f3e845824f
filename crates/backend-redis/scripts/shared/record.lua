-- A job as it is stored: one string.
--   1       state: b blocked, p pending, a active, c completed, f failed,
--           x cancelled, e expired
--   2       flags: 1 asked to stop, 2 others depend on it, 4 aged, 8 expires,
--           16 partition, 32 deduplication key, 64 dependencies, 128 labels
--   3       flags: 1 payload, 2 result, 4 course, 8 progress apart; 16 steps,
--           32 expiry dropped, 64 has run (or ended)
--   4-9     version     10-17 seq      18-25 base
--   26-33   place       34-41 due      42-49 enqueued
--   50-87   if it has run: token (6), end of the lease or of the job (8),
--           worker (16), start (8; zeros: never)
-- and behind that what does not change, each part if its flag says so:
--   expiry (8); partition, with its length in 2; deduplication key, with its length
--   in 2, held until (8; zeros: not), latest (8); open and broken dependencies (4
--   each); labels, with the length of all in 2 and of each in 2;
--   the rest, of which no script knows anything.
local ASKED, NEEDED, AGED, EXPIRES = 1, 2, 4, 8
local PARTITION, DEDUP, DEPENDS, LABELS = 16, 32, 64, 128
local PAYLOAD, RESULT, COURSE, PROGRESS = 1, 2, 4, 8
local STEPS, DROPPED, RUN = 16, 32, 64

local function is_ended(r)
    local state = sub(r, 1, 1)
    return state == 'c' or state == 'f' or state == 'x' or state == 'e'
end

local function tail_at(r)
    if band(byte(r, 3), RUN) ~= 0 then return 88 end
    return 50
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

-- Where its part for a flag begins, and how long a part with a length is.
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

-- What callers are shown of jobs: the records behind their ids, and of what is kept
-- apart the parts that `wanted` has flags for: number of the job, letter, bytes, …
local LETTERS = { { PAYLOAD, 'p' }, { RESULT, 'r' }, { COURSE, 'c' }, { PROGRESS, 'g' } }
local SUMMARY, FULL = COURSE + PROGRESS, COURSE + PROGRESS + PAYLOAD + RESULT
local function show(ids, records, wanted)
    local shown, apart = {}, {}
    for i = 1, #ids do
        local r = records[i]
        shown[i] = ids[i] .. r
        local has = band(byte(r, 3), wanted)
        if has ~= 0 then
            for _, letter in ipairs(LETTERS) do
                if band(has, letter[1]) ~= 0 then
                    local value = redis.call('HGET', K.blobs, ids[i] .. letter[2])
                    if value then
                        local n = #apart
                        apart[n + 1], apart[n + 2], apart[n + 3] = i, letter[2], value
                    end
                end
            end
        end
    end
    return shown, apart
end

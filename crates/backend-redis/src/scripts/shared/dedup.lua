-- Deduplication keys: `dedup` has, by key, the job that has it (16), whether it is
-- live (1 or 0), and until when it has the key even if it ends before (8; zeros:
-- not). `held` has the keys that only time frees, by when it does.

-- Who has a key now: id, whether live, until when.
local function holder_of(key)
    local found = redis.call('HGET', K.dedup, key)
    if not found then return nil end
    local is_live, held = sub(found, 17, 17) == '1', sub(found, 18, 25)
    if not is_live and not is_before(NOW, held) then return nil end
    return sub(found, 1, 16), is_live, held
end

-- Gives a key that nobody else has to a live job.
local function take_key(key, id, held)
    local passed = redis.call('ZRANGEBYLEX', K.held, '-', '(' .. NOW .. HIGH, 'LIMIT', 0, 100)
    for i = 1, #passed do
        zrem_one(K.held, passed[i])
        local other = sub(passed[i], 9)
        local found = redis.call('HGET', K.dedup, other)
        if found and sub(found, 17, 17) == '0' and not is_before(NOW, sub(found, 18, 25)) then
            hdel_one(K.dedup, other)
        end
    end
    local before = redis.call('HGET', K.dedup, key)
    if before and sub(before, 17, 17) == '0' then zrem_one(K.held, sub(before, 18, 25) .. key) end
    hset_one(K.dedup, key, id .. '1' .. held, before)
end

-- Frees the key of a job that has ended, or leaves it to time.
local function release_key(r, id)
    if band(byte(r, 2), DEDUP) == 0 then return end
    local key = text_at(r, part_at(r, DEDUP))
    local found = redis.call('HGET', K.dedup, key)
    if not found or sub(found, 1, 17) ~= id .. '1' then return end
    local held = sub(found, 18, 25)
    if is_before(NOW, held) then
        hset_one(K.dedup, key, id .. '0' .. held, found)
        zadd_one(K.held, held .. key)
    else
        hdel_one(K.dedup, key)
    end
end

-- Removing a job and all that belongs to it; its record stays until `flush_records`,
-- and its page until `flush_removed`.

local function forget_apart(r, id)
    for _, letter in ipairs(LETTERS) do
        if band(byte(r, 3), letter[1]) ~= 0 then hdel_one(K.blobs, id .. letter[2]) end
    end
    if band(byte(r, 3), STEPS) ~= 0 then
        local found = redis.call('ZRANGEBYLEX', K.step_order, '[' .. id, '(' .. id .. HIGH)
        for i = 1, #found do
            zrem_one(K.step_order, found[i])
            hdel_one(K.steps, found[i])
        end
    end
    for _, label in ipairs(labels_of(r, id)) do zrem_one(K.labels, label) end
end

local function remove(r, id)
    if not is_ended(r) then
        release_key(r, id)
        -- For those that depend on it, it has ended, and did not complete.
        count_end(r, id, 'b')
    end
    if band(byte(r, 2), DEPENDS) ~= 0 then
        tell_need(r, id, 'g')
        for _, pair in ipairs(needs_of(id)) do hdel_one(K.needs_state, id .. pair[2]) end
        hdel_one(K.needs, id)
    end
    if band(byte(r, 2), NEEDED) ~= 0 then
        local found = redis.call('ZRANGEBYLEX', K.needers, '[' .. id, '(' .. id .. HIGH .. HIGH .. HIGH)
        for i = 1, #found do
            zrem_one(K.needers, found[i])
            hdel_one(K.needer_state, id .. sub(found[i], 17, 32))
        end
        hdel_one(K.needed, id)
    end
    if band(byte(r, 3), PAYLOAD + RESULT + COURSE + PROGRESS + STEPS) ~= 0
        or band(byte(r, 2), LABELS) ~= 0 then
        forget_apart(r, id)
    end
    removed[#removed + 1] = sub(r, 10, 17)
    store(id, false)
end

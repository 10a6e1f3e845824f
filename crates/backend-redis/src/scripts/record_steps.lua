-- Records the outcomes of steps, each once, under its job's current lease (rules L2, W1).
-- arguments  4 on, of each: id (16), token (6), position (4, big-endian); name; outcome
-- answer     ok, a letter for each: r recorded, s stale lease, e one stands; of the last
--            ones: name, outcome, …
-- why        one step, so that a stale process records nothing; what a lease says of its
--            job is enough
-- with       base write
return once(function()
    local ids, fields = {}, {}
    for at = 4, #ARGV, 3 do
        local which = ARGV[at]
        ids[#ids + 1] = sub(which, 1, 16)
        fields[#fields + 1] = sub(which, 1, 16) .. sub(which, 23, 26)
    end
    local found, stand = hmget(K.lives, ids), hmget(K.steps, fields)
    local letters, told, written, marked = {}, {}, {}, {}
    local steps, order, lives, lives_then = {}, {}, {}, {}
    for i = 1, #ids do
        local at, id, field = 1 + 3 * i, ids[i], fields[i]
        local life, stands = found[i], written[field] or stand[i]
        -- A job that is active is there as one that has changed.
        if not life or byte(life) ~= 97 or sub(life, 10, 15) ~= sub(ARGV[at], 17, 22) then
            letters[i] = 's'
        elseif stands then
            letters[i] = 'e'
            local size = sunpack('>I2', stands)
            told[#told + 1] = sub(stands, 3, 2 + size)
            told[#told + 1] = sub(stands, 3 + size)
        else
            letters[i] = 'r'
            local step = spack('>I2', #ARGV[at + 1]) .. ARGV[at + 1] .. ARGV[at + 2]
            written[field] = step
            local n = #steps
            steps[n + 1], steps[n + 2] = field, step
            order[n + 1], order[n + 2] = '0', field
            if band(byte(life, 3), STEPS) == 0 and not marked[id] then
                marked[id] = true
                local m = #lives
                lives[m + 1], lives[m + 2] = id, sub(life, 1, 2) .. char(byte(life, 3) + STEPS) .. sub(life, 4)
                lives_then[id] = life
            end
        end
    end
    hset(K.steps, steps, {})
    zadd(K.step_order, order)
    hset(K.lives, lives, lives_then)
    return { 'ok', table.concat(letters), told }
end)

-- Records the outcome of a step, once, under the job's current lease (rules L2, W1).
-- arguments  4 id (16), token (6), position (4, big-endian); 5 name; 6 outcome
-- answer     ok, r recorded, s stale lease, or e and the name and outcome that stand
-- why        one step, so that a stale process records nothing
-- with       base write record meta graph
return once(function()
    local id, token, position = sub(ARGV[4], 1, 16), sub(ARGV[4], 17, 22), sub(ARGV[4], 23, 26)
    local r = load(id)
    if not r or sub(r, 1, 1) ~= 'a' or sub(r, 50, 55) ~= token then return { 'ok', 's' } end
    local stands = redis.call('HGET', K.steps, id .. position)
    if stands then
        local name = text_at(stands, 1)
        return { 'ok', 'e', name, sub(stands, 3 + #name) }
    end
    hset_one(K.steps, id .. position, spack('>I2', #ARGV[5]) .. ARGV[5] .. ARGV[6], false)
    zadd_one(K.step_order, id .. position)
    store(id, sub(r, 1, 2) .. char(bor(byte(r, 3), STEPS)) .. sub(r, 4))
    flush_records()
    return { 'ok', 'r' }
end)

-- Removes ended jobs of one state for good (rules N5, Q3 and Q4).
-- arguments  4 the state (c, f, x, e); 5 those that ended until this moment; or 6 all
--            but so many (or nothing); 7 how many at most; 8 behind this place, where
--            a call before this one came to, or nothing
-- answer     ok, ids of those that went, the place, 1 there may be more or 0,
--            messages for other queues
--            unknown: the queue was never declared
-- why        a bounded piece: whoever wants more calls again. Those that others still
--            depend on are passed over; but somebody who was to be stored and to depend
--            on one, and was not within an hour, never will be.
-- full       goes on: it makes room
-- with       base write record meta partitions place pages dedup graph remove
local HOUR = spack('>I4I4', 0, 3600000000)

-- Forgets those that were to depend on a job too long ago. Answers whether that was all.
local function forget_promises(id)
    for _, needer in ipairs(redis.call('ZRANGEBYLEX', K.needers, '[' .. id, '(' .. id .. HIGH .. HIGH .. HIGH)) do
        local other = sub(needer, 17, 32)
        local state = redis.call('HGET', K.needer_state, id .. other)
        if not state or #state == 8 or later(sub(state, 9), HOUR) > NOW then return false end
        hear_need(id, other, sub(needer, 33), 'g', '')
    end
    return true
end

return once(function()
    if not know_queue() then return { 'unknown' } end
    local key = ({ c = K.completed, f = K.failed, x = K.cancelled, e = K.expired })[ARGV[4]]
    local from, to, limit = '-', '+', min(tonumber(ARGV[7]), 500)
    if ARGV[8] ~= '' then from = '(' .. ARGV[8] end
    local bound = limit
    if ARGV[6] ~= '' then
        local passed_over = 0
        if ARGV[8] ~= '' then passed_over = redis.call('ZLEXCOUNT', key, '-', '[' .. ARGV[8]) end
        bound = redis.call('ZCARD', key) - tonumber(ARGV[6]) - passed_over
    else
        to = '(' .. ARGV[5] .. HIGH
    end
    local members = {}
    if bound > 0 then members = redis.call('ZRANGEBYLEX', key, from, to, 'LIMIT', 0, min(limit, bound)) end
    local ids = {}
    for i = 1, #members do ids[i] = sub(members[i], 17) end
    local records, needed = hmget(K.jobs, ids), hmget(K.needed, ids)
    local gone, went = {}, {}
    for i = 1, #ids do
        if needed[i] and band(byte(records[i], 2), NEEDED) == 0 and forget_promises(ids[i]) then
            needed[i] = false
        end
        if not needed[i] then
            gone[#gone + 1], went[#went + 1] = members[i], ids[i]
            original[ids[i]] = records[i]
            remove(records[i], ids[i])
        end
    end
    zrem(key, gone)
    flush_records()
    flush_removed()
    local place = members[#members] or ARGV[8]
    return { 'ok', table.concat(went), place, #members == limit and 1 or 0, messages(1000) }
end)

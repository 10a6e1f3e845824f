-- Stores a declaration, if the one that core compared it with is still stored.
-- arguments  4 that one, or nothing; 5 the new one; 6 its bounds without the queue's
--            number (see `meta`); 7 the number that the queue gets if it is new (2); 8 how
--            many times it was paused or let go on as far as the caller knows, or nothing
-- answer     ok, 1 stored or 0 somebody else was faster
-- why        one step: of two first declarations one creates. New bounds concern every
--            partition that has leases; they are judged at the next dequeues.
-- with       base write
return once(function()
    local stored = redis.call('HMGET', K.meta, 's', 'b', 'v', 'k')
    if (stored[1] or '') ~= ARGV[4] then return { 'ok', 0 } end
    if ARGV[8] ~= '' and tonumber(stored[4] or '0') ~= tonumber(ARGV[8]) then return { 'ok', 0 } end
    local number = ARGV[7]
    if stored[2] then number = sub(stored[2], 1, 2) end
    -- Named by what it says: on a server that has lost one, another one has another name.
    local declared = sub(redis.sha1hex(ARGV[5]), 1, 16)
    hset(K.meta, { 's', ARGV[5], 'b', number .. ARGV[6], 'v', declared },
        { s = stored[1], b = stored[2], v = stored[3] })
    -- There may be very many.
    if stored[2] and sub(stored[2], 3) ~= ARGV[6] then
        for _, partition in ipairs(redis.call('HKEYS', K.parts)) do
            zadd_one(K.openings, NONE .. partition)
        end
    end
    -- Of starts nothing is known under another rate, or none.
    return { 'ok', 1 }
end)

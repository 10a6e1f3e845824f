-- Pauses a queue or lets it go on (rule Q1).
-- arguments  4 1 paused or 0 not; 5 of how many times that this was said it is the last
--            one, as the first shard of the queue has counted, or nothing: it counts
-- answer     ok and that number; or unknown: the queue was never declared
-- why        stored with the queue, so that every dequeue sees it. Whoever makes a shard
--            what the first one was a moment ago does not undo what was said since.
-- full       goes on: an operator may want it then
-- with       base write
return once(function()
    local found = redis.call('HMGET', K.meta, 'b', 'p', 'k')
    if not found[1] then return { 'unknown' } end
    local said = tonumber(found[3] or '0')
    local number = tonumber(ARGV[5]) or said + 1
    if number < said then return { 'ok', said } end
    hset(K.meta, { 'p', ARGV[4], 'k', tostring(number) }, { p = found[2], k = found[3] })
    return { 'ok', number }
end)

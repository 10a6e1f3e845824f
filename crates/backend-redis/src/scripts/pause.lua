-- Pauses a queue or lets it go on (rule Q1).
-- arguments  4 1 paused or 0 not
-- answer     ok, or unknown: the queue was never declared
-- why        stored with the queue, so that every dequeue sees it
-- full       goes on: an operator may want it then
-- with       base write
return once(function()
    local found = redis.call('HMGET', K.meta, 'b', 'p')
    if not found[1] then return { 'unknown' } end
    hset_one(K.meta, 'p', ARGV[4], found[2])
    return { 'ok' }
end)

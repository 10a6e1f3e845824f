-- The names of all queues, and of those that have, or have had, repeatables.
-- answer     ok, now, names, names
-- why        queues stand in different places; here is where all of them are known
-- with       base
return { 'ok', NOW, redis.call('HKEYS', K.queues), redis.call('HKEYS', K.repeating) }

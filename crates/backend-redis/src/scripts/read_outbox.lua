-- What this queue has to tell others, and which of its jobs are in doubt whether
-- another queue's job has ended.
-- answer     ok, now, field and value of each, ids
-- why        the sweep's look: whoever was to tell it may have died
-- with       base
local found = redis.call('HSCAN', K.outbox, '0', 'COUNT', 1000)[2]
return { 'ok', NOW, found, redis.call('ZRANGE', K.doubts, 0, 99) }

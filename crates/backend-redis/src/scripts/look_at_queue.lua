-- A queue as it was declared, and whether it is paused.
-- answer     ok, now, the declaration, 1 paused or 0 not, how many times that was said
--            unknown: the queue was never declared
-- why        a look at one hash
-- with       base
local found = redis.call('HMGET', K.meta, 's', 'p', 'k')
if not found[1] then return { 'unknown' } end
return { 'ok', NOW, found[1], found[2] == '1' and 1 or 0, tonumber(found[3] or '0') }

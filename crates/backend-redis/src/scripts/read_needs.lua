-- What a job depends on, in order (rule N3).
-- arguments  2 on the ids
-- answer     ok, now, of each what is in `needs`, or nothing
-- why        one look; the jobs themselves may stand elsewhere
-- with       base
local ids = {}
for i = 2, #ARGV do ids[i - 1] = ARGV[i] end
return { 'ok', NOW, hmget(K.needs, ids) }

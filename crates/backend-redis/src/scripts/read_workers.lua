-- The workers that have been heard of and not forgotten.
-- answer     ok, now, what is in `workers` of each
-- why        one look
-- with       base
return { 'ok', NOW, redis.call('HVALS', K.workers) }

-- In:  ?1 queue, ?2 how many at most.
-- Out: the first ready jobs with their payloads.
-- Why: the index has them in the order of the queue.
SELECT /*job*/, result, payload FROM windlass_jobs
WHERE queue = ?1 AND lane = 2 ORDER BY key1, key2, seq LIMIT ?2

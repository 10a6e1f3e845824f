-- In:  ?1 queue, ?2 now.
-- Out: nothing.
-- Why: before release_due, in queues with ageing.
INSERT INTO windlass_aged (queue, place, job)
SELECT queue, place, seq FROM windlass_jobs
WHERE queue = ?1 AND lane = 1 AND key1 <= ?2 AND partition IS NULL
ON CONFLICT DO NOTHING

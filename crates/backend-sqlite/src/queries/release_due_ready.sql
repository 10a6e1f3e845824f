-- In:  ?1 queue, ?2 now.
-- Out: nothing.
-- Why: before release_due, in queues without partitions.
INSERT INTO windlass_ready (queue, sort, place, job)
SELECT queue, sort, place, seq FROM windlass_jobs
WHERE queue = ?1 AND lane = 1 AND key1 <= ?2 AND partition IS NULL

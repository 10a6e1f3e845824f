-- In:  ?1 queue, ?2 now.
-- Out: nothing.
-- Why: before release_due; jobs that were put off and kept their place are in
--      line already.
INSERT INTO windlass_lines (queue, partition_key, sort, place, job)
SELECT queue, partition, sort, place, seq FROM windlass_jobs
WHERE queue = ?1 AND lane = 1 AND key1 <= ?2 AND partition IS NOT NULL
ON CONFLICT DO NOTHING

-- In:  ?1 queue, ?2 now.
-- Out: the partitions of jobs whose moment has come since the last look, some
--      more than once.
-- Why: their lines change.
SELECT partition FROM windlass_jobs
WHERE queue = ?1 AND lane = 1 AND key1 <= ?2 AND partition IS NOT NULL

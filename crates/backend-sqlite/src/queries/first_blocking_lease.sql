-- In:  ?1 queue.
-- Out: the first end of a lease that a line waits for.
-- Why: goes through leases, of which there are as many as workers have slots,
--      not through partitions.
SELECT key1 FROM windlass_jobs
WHERE queue = ?1 AND lane = 3 AND EXISTS (
    SELECT 1 FROM windlass_partitions
    WHERE queue = ?1 AND partition_key = windlass_jobs.partition AND status = 3)
ORDER BY key1 LIMIT 1

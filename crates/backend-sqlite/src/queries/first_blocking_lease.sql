-- In:  ?1 queue.
-- Out: the first end of a lease that a line waits for, or NULL.
-- Why: goes through leases, of which there are as many as workers have slots,
--      not through partitions.
SELECT min(until) FROM windlass_leases CROSS JOIN windlass_jobs ON seq = job
WHERE windlass_leases.queue = ?1 AND EXISTS (
    SELECT 1 FROM windlass_partitions
    WHERE windlass_partitions.queue = ?1 AND partition_key = windlass_jobs.partition
        AND status = 3)

-- In:  ?1 queue.
-- Out: the partition whose first job may start and comes first, and that job.
-- Why: one step into the index, however many partitions there are.
SELECT partition_key, head_seq FROM windlass_partitions
WHERE queue = ?1 AND status = 1 ORDER BY head1, head2, head_seq LIMIT 1

-- In:  ?1 queue.
-- Out: every partition that has a line.
-- Why: all are judged anew when the limits change.
SELECT partition_key FROM windlass_partitions WHERE queue = ?1

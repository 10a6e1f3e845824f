-- In:  ?1 queue, ?2 partition.
-- Out: nothing.
-- Why: a partition without a line needs no row.
DELETE FROM windlass_partitions WHERE queue = ?1 AND partition_key = ?2

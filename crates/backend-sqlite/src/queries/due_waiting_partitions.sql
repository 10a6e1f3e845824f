-- In:  ?1 queue, ?2 now.
-- Out: the partitions whose moment has come.
-- Why: they are judged anew.
SELECT partition_key FROM windlass_partitions WHERE queue = ?1 AND status = 2 AND moment <= ?2

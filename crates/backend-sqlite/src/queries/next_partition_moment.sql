-- In:  ?1 queue.
-- Out: the first moment at which a partition that waits for one may go on.
-- Why: the index has it first.
SELECT moment FROM windlass_partitions WHERE queue = ?1 AND status = 2 ORDER BY moment LIMIT 1

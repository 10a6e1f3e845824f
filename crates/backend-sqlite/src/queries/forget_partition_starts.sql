-- In:  ?1 queue, ?2 horizon of its partitions' rate.
-- Out: nothing.
-- Why: by moment over all partitions, because most never come back.
DELETE FROM windlass_starts WHERE queue = ?1 AND moment <= ?2 AND owner <> ''

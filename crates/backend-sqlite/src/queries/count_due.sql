-- In:  ?1 queue, ?2 now.
-- Out: how many jobs are counted as scheduled though their moment has come.
-- Why: a range of the index that every dequeue empties.
SELECT count(*) FROM windlass_jobs WHERE queue = ?1 AND lane = 1 AND key1 <= ?2

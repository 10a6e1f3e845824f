-- In:  ?1 queue, ?2 now, ?3 where counting may stop.
-- Out: how many jobs are counted as scheduled though their moment has come.
-- Why: a range of the index that every dequeue empties.
SELECT count(*) FROM (
    SELECT 1 FROM windlass_jobs WHERE queue = ?1 AND lane = 1 AND key1 <= ?2 LIMIT ?3)

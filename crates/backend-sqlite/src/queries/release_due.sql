-- In:  ?1 queue, ?2 now.
-- Out: as many changes as jobs whose moment has come.
-- Why: every dequeue does this first, so that no scanner is needed. All of them
--      at once: the order among them is by rank, not by moment.
UPDATE windlass_jobs
SET lane = CASE WHEN partition IS NOT NULL THEN 8 END,
    key1 = CASE WHEN partition IS NOT NULL THEN place END
WHERE queue = ?1 AND lane = 1 AND key1 <= ?2

-- In:  ?1 job, ?2 now.
-- Out: queue and id of each job that it depends on, its state, its result.
-- Why: a job that was removed still stands here, without state.
SELECT on_queue, on_id,
       CASE WHEN lane NOT IN (1, 2, 8, 9) THEN lane WHEN due > ?2 THEN 1 WHEN due <= ?2 THEN 2 END,
       CASE WHEN lane = 4 THEN result END
FROM windlass_dependencies
LEFT JOIN windlass_jobs ON windlass_jobs.seq = on_seq
WHERE dependent = ?1
ORDER BY position

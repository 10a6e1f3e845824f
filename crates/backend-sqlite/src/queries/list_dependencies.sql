-- In:  ?1 job, ?2 now.
-- Out: queue and id of each job that it depends on, its state, its result.
-- Why: a job that was removed still stands here, without state.
SELECT on_queue, on_id,
       CASE
           WHEN windlass_jobs.seq IS NULL THEN NULL
           WHEN /*lane*/ NOT IN (1, 2, 8, 9) THEN /*lane*/
           WHEN due > ?2 THEN 1
           ELSE 2
       END,
       CASE WHEN windlass_ended.lane = 4 THEN windlass_ended.result END
FROM windlass_dependencies
LEFT JOIN windlass_jobs ON windlass_jobs.seq = on_seq
/*beside*/
WHERE dependent = ?1
ORDER BY position

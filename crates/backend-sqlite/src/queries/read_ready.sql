-- In:  ?1 queue, ?2 how many at most.
-- Out: the first ready jobs with their payloads.
-- Why: the table has them in the order of the queue.
SELECT /*pending*/
FROM windlass_ready CROSS JOIN windlass_jobs ON seq = job
WHERE windlass_ready.queue = ?1
ORDER BY windlass_ready.sort, windlass_ready.place, job LIMIT ?2

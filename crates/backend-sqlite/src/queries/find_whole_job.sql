-- In:  ?1 id, ?2 queue.
-- Out: the job, with result and payload.
-- Why: for those who look at one job.
SELECT /*job*/, windlass_ended.result, payload FROM windlass_jobs
/*beside*/
WHERE id = ?1 AND windlass_jobs.queue = ?2

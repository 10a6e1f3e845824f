-- In:  ?1 id, ?2 queue.
-- Out: the job, without payload and result.
-- Why: what a decision needs.
SELECT /*job*/ FROM windlass_jobs
/*beside*/
WHERE id = ?1 AND windlass_jobs.queue = ?2

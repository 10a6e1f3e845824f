-- In:  ?1 id, ?2 queue.
-- Out: the job, with result and payload.
-- Why: for those who look at one job.
SELECT /*job*/, result, payload FROM windlass_jobs WHERE id = ?1 AND queue = ?2

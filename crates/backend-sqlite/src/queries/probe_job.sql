-- In:  ?1 id.
-- Out: seq, queue, lane, token.
-- Why: says whether an id exists, and whether a lease is current, without
--      reading the job.
SELECT seq, windlass_jobs.queue, /*lane*/,
       coalesce(windlass_ended.token, windlass_leases.token, windlass_jobs.token)
FROM windlass_jobs
/*beside*/
WHERE id = ?1

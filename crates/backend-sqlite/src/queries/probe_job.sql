-- In:  ?1 id.
-- Out: seq, queue, lane, token, hooks.
-- Why: says whether an id exists, and whether a lease is current, without
--      reading the job.
SELECT seq, queue, lane, token, hooks FROM windlass_jobs WHERE id = ?1

-- In:  ?1 id, ?2 queue, ?3 token, ?4 new end.
-- Out: seq, and whether the job was asked to stop; no row if the lease is not
--      current.
-- Why: comparing and setting are one statement.
UPDATE windlass_leases SET until = ?4
WHERE job = (SELECT seq FROM windlass_jobs WHERE id = ?1 AND queue = ?2) AND token = ?3
RETURNING job, (SELECT cancel_requested FROM windlass_jobs WHERE seq = windlass_leases.job)

-- In:  ?1 id, ?2 queue, ?3 token, ?4 new end, ?5 progress or NULL.
-- Out: whether the job was asked to stop; no row if the lease is not current.
-- Why: comparing and setting are one statement.
UPDATE windlass_jobs SET key1 = ?4, progress = coalesce(?5, progress)
WHERE id = ?1 AND queue = ?2 AND lane = 3 AND token = ?3
RETURNING cancel_requested

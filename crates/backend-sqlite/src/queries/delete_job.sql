-- In:  ?1 seq.
-- Out: nothing.
-- Why: what belongs to the job is removed beside it.
DELETE FROM windlass_jobs WHERE seq = ?1

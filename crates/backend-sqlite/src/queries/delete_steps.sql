-- In:  ?1 job.
-- Out: nothing.
-- Why: steps go with their job.
DELETE FROM windlass_steps WHERE job = ?1

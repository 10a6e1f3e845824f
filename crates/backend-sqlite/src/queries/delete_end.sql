-- In:  ?1 job.
-- Out: nothing.
-- Why: a job that comes back to life, or is removed.
DELETE FROM windlass_ended WHERE job = ?1

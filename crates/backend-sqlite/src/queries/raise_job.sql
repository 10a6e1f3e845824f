-- In:  ?1 job, which is pending.
-- Out: nothing.
-- Why: decisions that were made before turn out stale.
UPDATE windlass_jobs SET version = version + 1 WHERE seq = ?1

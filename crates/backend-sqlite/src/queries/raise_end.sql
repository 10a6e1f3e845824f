-- In:  ?1 job, which has ended.
-- Out: nothing.
-- Why: decisions that were made before turn out stale.
UPDATE windlass_ended SET version = version + 1 WHERE job = ?1

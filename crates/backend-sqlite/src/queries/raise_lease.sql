-- In:  ?1 job, which is active.
-- Out: nothing.
-- Why: decisions that were made before turn out stale.
UPDATE windlass_leases SET version = version + 1 WHERE job = ?1

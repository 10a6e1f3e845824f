-- In:  ?1 job, ?2 bit of its hooks.
-- Out: nothing.
-- Why: a decision that was made before somebody depended on the job must turn
--      out stale, hence the version.
UPDATE windlass_jobs SET hooks = hooks | ?2, version = version + 1
WHERE seq = ?1 AND hooks & ?2 = 0

-- In:  ?1 job, ?2 bit.
-- Out: one change if it was not set.
-- Why: says where else the job is known, so that others are not looked for there.
UPDATE windlass_jobs SET hooks = hooks | ?2 WHERE seq = ?1 AND hooks & ?2 = 0

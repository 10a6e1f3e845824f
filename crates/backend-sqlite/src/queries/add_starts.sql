-- In:  ?1 queue, ?2 owner, ?3 now, ?4 how many.
-- Out: nothing.
-- Why: one row per owner and moment, however many jobs.
INSERT INTO windlass_starts (queue, owner, moment, jobs) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (queue, owner, moment) DO UPDATE SET jobs = jobs + excluded.jobs

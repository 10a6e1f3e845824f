-- In:  ?1 queue, ?2 state, ?3 by how many its jobs have become more or fewer.
-- Out: nothing.
-- Why: once per transaction and state instead of a trigger per job.
INSERT INTO windlass_counters (queue, state, jobs) VALUES (?1, ?2, ?3)
ON CONFLICT (queue, state) DO UPDATE SET jobs = jobs + excluded.jobs

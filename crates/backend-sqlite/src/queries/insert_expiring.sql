-- In:  ?1 queue, ?2 moment, ?3 job.
-- Out: nothing.
-- Why: only the few jobs that have one pay for it.
INSERT INTO windlass_expiring (queue, moment, job)
VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING

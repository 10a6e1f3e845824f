-- In:  ?1 queue, ?2 sort, ?3 place, ?4 job.
-- Out: nothing.
-- Why: a job that comes back to the order, alone.
INSERT INTO windlass_ready (queue, sort, place, job) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT DO NOTHING

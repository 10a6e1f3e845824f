-- In:  ?1 job, ?2 queue, ?3 version, ?4 token, ?5 end, ?6 now, ?7 worker.
-- Out: nothing.
-- Why: a job that starts.
INSERT INTO windlass_leases (job, queue, version, token, until, started_at, worker)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)

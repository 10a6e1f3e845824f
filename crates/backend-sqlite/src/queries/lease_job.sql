-- In:  ?1 seq, ?2 end of the lease, ?3 worker, ?4 now.
-- Out: nothing.
-- Why: the same as lease_ready for the head of a line.
UPDATE windlass_jobs
SET lane = 3, key1 = ?2, key2 = 0, version = version + 1, token = token + 1, worker = ?3,
    started_at = ?4
WHERE seq = ?1

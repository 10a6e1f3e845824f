-- In:  ?1 to ?8 as complete_plain_job, ?9 seq.
-- Out: one change if the guard holds and nothing hangs on the job.
-- Why: who leased the job itself knows its number, and spares the way through
--      the index of ids.
UPDATE windlass_jobs
SET lane = ?5, key1 = ?6, key2 = 0, version = version + 1, result = ?7
WHERE seq = ?9 AND id = ?1 AND queue = ?2 AND version = ?3 AND lane = 3 AND token = ?4
    AND hooks & ?8 = 0

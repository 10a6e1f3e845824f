-- In:  ?1 id, ?2 queue, ?3 version, ?4 token, ?5 lane of its end, ?6 now,
--      ?7 result, ?8 the hooks that ending has to look after.
-- Out: one change if the guard holds and nothing hangs on the job.
-- Why: how most jobs end; one statement that reads nothing first.
UPDATE windlass_jobs
SET lane = ?5, key1 = ?6, key2 = 0, version = version + 1, result = ?7
WHERE id = ?1 AND queue = ?2 AND version = ?3 AND lane = 3 AND token = ?4 AND hooks & ?8 = 0

-- In:  ?1 job, ?2 queue, ?3 lane of its end, ?4 now, ?5 version, ?6 token, ?7 when it
--      last started, ?8 result.
-- Out: nothing.
-- Why: the guard was compared under the write lock.
INSERT INTO windlass_ended (job, queue, lane, moment, version, token, started_at, result)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)

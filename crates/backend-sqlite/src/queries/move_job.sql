-- In:  ?1 seq, ?2 lane or NULL, ?3 key1, ?4 sort, ?5 place, ?6 due, ?7 version,
--      ?8 token, ?9 when it last started.
-- Out: nothing.
-- Why: a job that is pending again says itself what its lease or its end said
--      before.
UPDATE windlass_jobs
SET lane = ?2, key1 = ?3, sort = ?4, place = ?5, due = ?6, version = ?7, token = ?8,
    started_at = ?9
WHERE seq = ?1

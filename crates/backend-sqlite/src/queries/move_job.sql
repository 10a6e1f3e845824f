-- In:  ?1 seq, ?2 lane, ?3 key1, ?4 key2, ?5 sort, ?6 place, ?7 due, ?8 expires,
--      ?9 cancel_requested, ?10 whether the course is new, ?11 course, ?12 payload
--      or NULL, ?13 result.
-- Out: nothing.
-- Why: ends any lease; the guard was compared under the write lock.
UPDATE windlass_jobs
SET lane = ?2, key1 = ?3, key2 = ?4, sort = ?5, place = ?6, due = ?7, expires = ?8,
    cancel_requested = ?9, course = CASE WHEN ?10 THEN ?11 ELSE course END,
    payload = coalesce(?12, payload), result = ?13, version = version + 1
WHERE seq = ?1

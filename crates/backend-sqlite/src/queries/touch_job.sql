-- In:  ?1 seq, ?2 expires, ?3 cancel_requested, ?4 whether the course is new,
--      ?5 course, ?6 payload or NULL.
-- Out: nothing.
-- Why: what a decision can change wherever the job stands.
UPDATE windlass_jobs
SET expires = ?2, cancel_requested = ?3, course = CASE WHEN ?4 THEN ?5 ELSE course END,
    payload = coalesce(?6, payload)
WHERE seq = ?1

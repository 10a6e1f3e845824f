-- In:  ?1 dependent, ?2 1 if what it waited for did not complete, else 0.
-- Out: whether it is blocked and core has to decide about it.
-- Why: key1 of a blocked job puts those that core has to decide about first.
UPDATE windlass_jobs
SET open = open - 1,
    broken = broken + ?2,
    key1 = CASE WHEN lane = 0 THEN NOT (open = 1 OR broken + ?2 > 0) ELSE key1 END
WHERE seq = ?1
RETURNING lane IS 0 AND (open = 0 OR broken > 0)

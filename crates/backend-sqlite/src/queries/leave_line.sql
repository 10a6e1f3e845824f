-- In:  ?1 seq.
-- Out: nothing.
-- Why: a job that starts from a line, or ends before it started, stands in no
--      lane any more.
UPDATE windlass_jobs SET lane = NULL, key1 = NULL WHERE seq = ?1 AND lane IS NOT NULL

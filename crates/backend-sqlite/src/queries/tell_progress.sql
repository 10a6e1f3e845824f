-- In:  ?1 seq, ?2 progress.
-- Out: nothing.
-- Why: most extensions tell nothing.
UPDATE windlass_jobs SET progress = ?2 WHERE seq = ?1

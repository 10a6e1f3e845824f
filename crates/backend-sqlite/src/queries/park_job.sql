-- In:  ?1 seq of a job past its expiry.
-- Out: nothing.
-- Why: no later dequeue comes across it again; the sweep still finds it by its
--      expiry.
UPDATE windlass_jobs SET lane = 9, key1 = place WHERE seq = ?1

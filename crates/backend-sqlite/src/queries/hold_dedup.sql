-- In:  ?1 queue, ?2 key, ?3 id of the job that had it.
-- Out: nothing.
-- Why: the job has ended, the key stays taken until its moment.
UPDATE windlass_dedup SET live = 0 WHERE queue = ?1 AND dedup_key = ?2 AND job = ?3

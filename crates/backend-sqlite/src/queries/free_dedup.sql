-- In:  ?1 queue, ?2 key, ?3 id of the job that had it.
-- Out: nothing.
-- Why: names the job, so that a key that went to another one stays with it.
DELETE FROM windlass_dedup WHERE queue = ?1 AND dedup_key = ?2 AND job = ?3

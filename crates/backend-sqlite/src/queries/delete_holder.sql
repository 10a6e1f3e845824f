-- In:  ?1 queue, ?2 partition, ?3 job.
-- Out: nothing.
-- Why: the job says what its entry is, so that it is one step into the table.
DELETE FROM windlass_holders
WHERE queue = ?1 AND partition_key = ?2 AND job = ?3

-- In:  ?1 queue, ?2 place, ?3 job.
-- Out: nothing.
-- Why: the job says what its entry is, so that it is one step into the table.
DELETE FROM windlass_aged
WHERE queue = ?1 AND place = ?2 AND job = ?3

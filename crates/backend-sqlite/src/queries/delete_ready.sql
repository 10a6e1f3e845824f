-- In:  ?1 queue, ?2 sort, ?3 place, ?4 job.
-- Out: nothing.
-- Why: the job says what its entry is, so that it is one step into the table.
DELETE FROM windlass_ready WHERE queue = ?1 AND sort = ?2 AND place = ?3 AND job = ?4

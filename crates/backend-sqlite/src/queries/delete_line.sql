-- In:  ?1 queue, ?2 partition, ?3 sort, ?4 place, ?5 job.
-- Out: nothing.
-- Why: the job says what its entry is, so that it is one step into the table.
DELETE FROM windlass_lines
WHERE queue = ?1 AND partition_key = ?2 AND sort = ?3 AND place = ?4 AND job = ?5

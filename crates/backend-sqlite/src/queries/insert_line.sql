-- In:  ?1 queue, ?2 partition, ?3 sort, ?4 place, ?5 job.
-- Out: nothing.
-- Why: only the few jobs that have one pay for it.
INSERT INTO windlass_lines (queue, partition_key, sort, place, job)
VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING

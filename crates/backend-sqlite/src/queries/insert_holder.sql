-- In:  ?1 queue, ?2 partition, ?3 job.
-- Out: nothing.
-- Why: only the few jobs that have one pay for it.
INSERT INTO windlass_holders (queue, partition_key, job)
VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING

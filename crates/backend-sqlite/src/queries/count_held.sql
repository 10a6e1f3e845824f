-- In:  ?1 queue, ?2 partition, ?3 where counting may stop.
-- Out: how many leases the partition holds.
-- Why: counted, not kept, so that it cannot drift; never beyond the limit.
SELECT count(*) FROM (
    SELECT 1 FROM windlass_holders WHERE queue = ?1 AND partition_key = ?2 LIMIT ?3)

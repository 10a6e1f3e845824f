-- In:  ?1 queue, ?2 key.
-- Out: id of the job that has it, whether that is live, until when it is held.
-- Why: the key of the table.
SELECT job, live, held_until FROM windlass_dedup WHERE queue = ?1 AND dedup_key = ?2

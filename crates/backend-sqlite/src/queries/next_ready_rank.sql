-- In:  ?1 queue, ?2 the rank behind which to look.
-- Out: the next rank of a ready job, and the oldest place at that rank.
-- Why: hops from rank to rank in the index; where there is no ageing, there are
--      as many as there are priorities in use.
SELECT key1, key2 FROM windlass_jobs WHERE queue = ?1 AND lane = 2 AND key1 > ?2
ORDER BY key1, key2 LIMIT 1

-- In:  ?1 queue, ?2 lane of a terminal state, ?3 cutoff, ?4 and ?5 place behind
--      which to begin, ?6 how many.
-- Out: the jobs, without payload.
-- Why: the first to end come first, as the index has them.
SELECT /*job*/ FROM windlass_jobs
WHERE queue = ?1 AND lane = ?2 AND key1 <= ?3 AND key1 >= ?4 AND (key1 > ?4 OR seq > ?5)
ORDER BY key1, key2, seq LIMIT ?6

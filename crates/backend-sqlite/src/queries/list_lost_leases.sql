-- In:  ?1 queue, ?2 now, ?3 and ?4 place behind which to begin, ?5 how many.
-- Out: the jobs, without payload.
-- Why: the index has them in the order of the page.
SELECT /*job*/ FROM windlass_jobs
WHERE queue = ?1 AND lane = 3 AND key1 <= ?2 AND key1 >= ?3 AND (key1 > ?3 OR seq > ?4)
ORDER BY key1, key2, seq LIMIT ?5

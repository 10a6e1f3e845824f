-- In:  ?1 queue, ?2 now (not used), ?3 moment (not used) and ?4 seq behind which
--      to begin, ?5 how many.
-- Out: the blocked jobs that core has to decide about, without payload.
-- Why: key1 of a blocked job keeps them apart from those that go on waiting.
SELECT /*job*/ FROM windlass_jobs
/*beside*/
WHERE windlass_jobs.queue = ?1 AND windlass_jobs.lane = 0 AND key1 = 0 AND seq > ?4 AND ?2 >= ?3
ORDER BY seq LIMIT ?5

-- In:  ?1 queue, ?2 now, ?3 and ?4 place behind which to begin, ?5 how many.
-- Out: the jobs, without payload.
-- Why: goes through the leases, of which there are as many as workers have in
--      hand, once a sweep.
SELECT /*job*/ FROM windlass_leases CROSS JOIN windlass_jobs ON seq = windlass_leases.job
    LEFT JOIN windlass_ended ON windlass_ended.job = windlass_leases.job
WHERE windlass_leases.queue = ?1 AND until <= ?2 AND (until, windlass_leases.job) > (?3, ?4)
ORDER BY until, windlass_leases.job LIMIT ?5

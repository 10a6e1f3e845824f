-- In:  ?1 queue, ?2 lane of a terminal state, ?3 cutoff, ?4 and ?5 place behind
--      which to begin, ?6 how many.
-- Out: the jobs, without payload.
-- Why: the first to end come first, as the index has them.
SELECT /*job*/ FROM windlass_ended CROSS JOIN windlass_jobs ON seq = windlass_ended.job
    LEFT JOIN windlass_leases ON windlass_leases.job = windlass_ended.job
WHERE windlass_ended.queue = ?1 AND windlass_ended.lane = ?2 AND moment <= ?3 AND moment >= ?4
    AND (moment > ?4 OR windlass_ended.job > ?5)
ORDER BY moment, windlass_ended.job LIMIT ?6

-- In:  ?1 queue, ?2 to ?4 lanes of a state, some twice if it has fewer, ?5
--      cutoff, ?6 seq behind which to begin, ?7 how many.
-- Out: the jobs, without payload.
-- Why: the first to be enqueued come first; rare, so that no index is kept for
--      it.
SELECT /*job*/ FROM windlass_jobs
/*beside*/
WHERE windlass_jobs.seq IN (
        SELECT seq FROM windlass_jobs AS pending
        WHERE pending.queue = ?1 AND pending.lane IN (?2, ?3, ?4)
        UNION ALL SELECT job FROM windlass_ready WHERE queue = ?1 AND 2 IN (?2, ?3, ?4))
    AND enqueued_at <= ?5 AND windlass_jobs.seq > ?6
ORDER BY windlass_jobs.seq LIMIT ?7

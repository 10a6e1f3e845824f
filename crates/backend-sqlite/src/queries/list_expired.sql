-- In:  ?1 queue, ?2 now, ?3 and ?4 place behind which to begin, ?5 how many.
-- Out: the jobs, without payload.
-- Why: only jobs that can still expire are in the table, in the order of the
--      page.
SELECT /*job*/
FROM (
    SELECT expiring.moment AS gone, expiring.job AS due_job FROM windlass_expiring AS expiring
    WHERE queue = ?1 AND moment <= ?2 AND (moment, job) > (?3, ?4)
    ORDER BY moment, job LIMIT ?5
) CROSS JOIN windlass_jobs ON seq = due_job
/*beside*/
ORDER BY gone, due_job

-- In:  the arguments of functions/stats.sql.
-- Out: its answer; no row's now is NULL but where there is no such queue.
-- Why: what it costs does not grow with the jobs.
SELECT now, paused, spec, jobs, oldest, starts FROM windlass.stats($1, $2)

-- In:  ?1 seq.
-- Out: the job, without payload and result.
-- Why: dependents are known by their number.
SELECT /*job*/ FROM windlass_jobs
/*beside*/
WHERE seq = ?1

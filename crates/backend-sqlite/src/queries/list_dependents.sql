-- In:  ?1 job.
-- Out: the jobs that depend on it, without payload.
-- Why: by the enqueue sequence, as the index has them.
SELECT /*job*/ FROM windlass_jobs
/*beside*/
WHERE seq IN (SELECT dependent FROM windlass_dependencies WHERE on_seq = ?1)
ORDER BY seq

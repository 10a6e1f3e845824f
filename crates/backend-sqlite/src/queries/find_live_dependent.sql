-- In:  ?1 job.
-- Out: one row (1) if a job that has not ended depends on it.
-- Why: such a job reads its result, so that it must not be cleaned.
SELECT 1 FROM windlass_dependencies JOIN windlass_jobs ON windlass_jobs.seq = dependent
WHERE on_seq = ?1 AND lane NOT IN (4, 5, 6, 7) LIMIT 1

-- In:  ?1 job.
-- Out: one row (1) if a job that has not ended depends on it.
-- Why: such a job reads its result, so that it must not be cleaned.
SELECT 1 FROM windlass_dependencies CROSS JOIN windlass_jobs ON seq = dependent
WHERE on_seq = ?1 AND NOT EXISTS (SELECT 1 FROM windlass_ended WHERE job = dependent) LIMIT 1

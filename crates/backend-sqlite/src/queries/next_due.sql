-- In:  ?1 queue.
-- Out: the first moment at which a scheduled job becomes eligible.
-- Why: one that expires before its moment never does.
SELECT key1 FROM windlass_jobs
WHERE queue = ?1 AND lane = 1
    AND (expires IS NULL OR expires > key1 OR started_at <> -9223372036854775808)
ORDER BY key1 LIMIT 1

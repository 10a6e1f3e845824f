-- In:  ?1 seq.
-- Out: the job with payload and result.
-- Why: the head of a partition's line, by its number.
SELECT /*job*/, result, payload FROM windlass_jobs WHERE seq = ?1

-- In:  ?1 seq.
-- Out: the job, which is pending, with its payload.
-- Why: the head of a partition's line, by its number.
SELECT /*pending*/ FROM windlass_jobs WHERE seq = ?1

-- In:  ?1 the first seq of a batch.
-- Out: nothing.
-- Why: those of the batch that may start at once are put in order together.
INSERT INTO windlass_ready (queue, sort, place, job)
SELECT queue, sort, place, seq FROM windlass_jobs WHERE seq >= ?1 AND lane IS NULL
ON CONFLICT DO NOTHING

-- In:  ?1 the first seq of a batch.
-- Out: nothing.
-- Why: takes back the jobs of a batch that turns out to be refused.
DELETE FROM windlass_jobs WHERE seq >= ?1

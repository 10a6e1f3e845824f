-- In:  ?1 queue, ?2 lane: scheduled, in line or parked.
-- Out: the smallest key1 of the lane: the first moment due, the oldest place.
-- Why: one step into the index.
SELECT key1 FROM windlass_jobs WHERE queue = ?1 AND lane = ?2 ORDER BY key1 LIMIT 1

-- In:  ?1 queue.
-- Out: record as JSON, by key.
-- Why: keys are ASCII, so that the byte order is the order asked for.
SELECT record FROM windlass_repeatables WHERE queue = ?1 ORDER BY repeatable_key

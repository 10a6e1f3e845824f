-- In:  a manual clock's moment or NULL, a queue's name.
-- Out: now, and the queue's number, or NULL.
-- Why: tells an unknown queue from one without jobs.
SELECT windlass.clock($1), (SELECT id FROM windlass.queues WHERE name = $2)

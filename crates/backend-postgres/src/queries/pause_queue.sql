-- In:  a queue's name, whether it is paused.
-- Out: one row if there is such a queue.
-- Why: it is stored, so that it holds for every process.
UPDATE windlass.queues SET paused = $2 WHERE name = $1 RETURNING id

-- In:  a queue's name, an id.
-- Out: position, name and outcome of each recorded step.
-- Why: as the primary key has them.
SELECT s.position, s.name, s.outcome FROM windlass.queues q
JOIN windlass.jobs j ON j.id = $2 AND j.queue + 0 = q.id
JOIN windlass.steps s ON s.queue = j.queue AND s.seq = j.seq
WHERE q.name = $1 ORDER BY s.position

-- In:  a queue's name, an id.
-- Out: the jobs that depend on it, in the order of the enqueue sequence.
-- Why: as the index has them.
SELECT s.* FROM windlass.queues q
JOIN windlass.jobs j ON j.id = $2 AND j.queue + 0 = q.id
JOIN windlass.dependencies d ON d.on_seq = j.seq
JOIN windlass.summaries s ON s.queue = d.dependent_queue AND s.seq = d.dependent
WHERE q.name = $1 ORDER BY s.seq

-- In:  a manual clock's moment or NULL, a queue's name, an id.
-- Out: now, and the job with result and payload.
-- Why: the id is unique; the queue must be the one that was meant.
SELECT w.*, windlass.clock($1) FROM windlass.queues q
JOIN windlass.jobs j ON j.id = $3 AND j.queue + 0 = q.id
JOIN windlass.whole_jobs w ON w.queue = j.queue AND w.seq = j.seq
WHERE q.name = $2

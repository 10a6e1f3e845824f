-- In:  a queue's name, a key.
-- Out: the record.
-- Why: by the primary key.
SELECT r.record FROM windlass.queues q
JOIN windlass.repeatables r ON r.queue = q.id AND r.repeatable_key = $2
WHERE q.name = $1

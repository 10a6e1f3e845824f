-- In:  a queue's name.
-- Out: its records, by key.
-- Why: by the primary key.
SELECT r.record FROM windlass.queues q JOIN windlass.repeatables r ON r.queue = q.id
WHERE q.name = $1 ORDER BY r.repeatable_key

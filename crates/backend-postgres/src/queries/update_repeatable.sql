-- In:  a queue's name, key, version, due, record, the version that must be stored.
-- Out: one row if it was.
-- Why: compare and set.
UPDATE windlass.repeatables r SET version = $3, due = $4, record = $5
FROM windlass.queues q
WHERE q.name = $1 AND r.queue = q.id AND r.repeatable_key = $2 AND r.version = $6
RETURNING r.queue

-- In:  a queue's name, key.
-- Out: one row if there was one.
-- Why: its jobs stay.
DELETE FROM windlass.repeatables r USING windlass.queues q
WHERE q.name = $1 AND r.queue = q.id AND r.repeatable_key = $2 RETURNING r.queue

-- In:  a queue's name, key, version, due, record.
-- Out: one row if none was stored.
-- Why: of two that are first, one is.
INSERT INTO windlass.repeatables (queue, repeatable_key, version, due, record)
SELECT q.id, $2, $3, $4, $5 FROM windlass.queues q WHERE q.name = $1
ON CONFLICT DO NOTHING RETURNING queue

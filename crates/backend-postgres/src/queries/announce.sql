-- In:  a queue's name.
-- Out: nothing.
-- Why: see functions/announce.sql.
SELECT windlass.announce(q.id) FROM windlass.queues q WHERE q.name = $1

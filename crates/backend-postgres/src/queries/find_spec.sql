-- In:  a queue's name.
-- Out: its declaration.
-- Why: what becomes of a new one is decided with it.
SELECT spec FROM windlass.queues WHERE name = $1

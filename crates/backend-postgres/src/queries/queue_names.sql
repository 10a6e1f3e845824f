-- In:  nothing.
-- Out: number and name of every queue.
-- Why: rows of jobs hold the number; a name never changes its number.
SELECT id, name FROM windlass.queues

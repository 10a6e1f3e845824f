-- In:  a worker's id.
-- Out: nothing.
-- Why: it has left.
DELETE FROM windlass.workers WHERE id = $1

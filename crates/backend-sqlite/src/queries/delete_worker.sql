-- In:  ?1 id.
-- Out: nothing.
-- Why: it has said that it stops.
DELETE FROM windlass_workers WHERE id = ?1

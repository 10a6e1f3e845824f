-- In:  ?1 number.
-- Out: name.
-- Why: rows know queues by number only.
SELECT name FROM windlass_queues WHERE id = ?1

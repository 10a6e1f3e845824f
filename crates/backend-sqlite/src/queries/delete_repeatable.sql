-- In:  ?1 queue, ?2 key.
-- Out: one change if there was one.
-- Why: its jobs stay.
DELETE FROM windlass_repeatables WHERE queue = ?1 AND repeatable_key = ?2

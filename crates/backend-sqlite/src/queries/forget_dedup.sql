-- In:  ?1 queue, ?2 now, ?3 how many at most.
-- Out: nothing.
-- Why: keys that nobody asked for again after their hold would stay for ever.
DELETE FROM windlass_dedup WHERE (queue, dedup_key) IN (
    SELECT queue, dedup_key FROM windlass_dedup
    WHERE queue = ?1 AND live = 0 AND held_until <= ?2 LIMIT ?3)

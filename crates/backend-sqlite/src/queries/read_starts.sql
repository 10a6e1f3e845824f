-- In:  ?1 queue, ?2 owner, ?3 horizon.
-- Out: moment, how many, oldest first.
-- Why: core judges the window.
SELECT moment, jobs FROM windlass_starts
WHERE queue = ?1 AND owner = ?2 AND moment > ?3 ORDER BY moment

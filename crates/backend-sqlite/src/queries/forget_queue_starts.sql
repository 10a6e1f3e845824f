-- In:  ?1 queue, ?2 horizon of the queue's rate.
-- Out: nothing.
-- Why: what lies before the window never counts again.
DELETE FROM windlass_starts WHERE queue = ?1 AND owner = '' AND moment <= ?2

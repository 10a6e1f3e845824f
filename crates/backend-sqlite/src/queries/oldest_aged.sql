-- In:  ?1 queue.
-- Out: the oldest place of a ready job in an ageing queue.
-- Why: there the order key mixes place and rank, so that it cannot tell.
SELECT place FROM windlass_aged WHERE queue = ?1 ORDER BY place LIMIT 1

-- In:  ?1 queue, ?2 the rank behind which to look.
-- Out: the next rank of a ready job, and the oldest place at that rank.
-- Why: hops from rank to rank in the table; where there is no ageing, there are
--      as many as there are priorities in use.
SELECT sort, place FROM windlass_ready WHERE queue = ?1 AND sort > ?2
ORDER BY sort, place LIMIT 1

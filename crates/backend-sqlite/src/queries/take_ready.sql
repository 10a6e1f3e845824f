-- In:  ?1 queue, ?2 sort, ?3 place and ?4 job of the last one that was leased.
-- Out: as many changes.
-- Why: the jobs that were just leased are the first in the table; taking them
--      out together spares a statement for each.
DELETE FROM windlass_ready WHERE queue = ?1 AND (sort, place, job) <= (?2, ?3, ?4)

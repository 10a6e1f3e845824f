-- In:  ?1 queue, ?2 how many, ?3 end of the leases, ?4 worker, ?5 now.
-- Out: as many changes.
-- Why: the jobs that were just read are the first in the index; taking them
--      together spares a statement for each.
UPDATE windlass_jobs
SET lane = 3, key1 = ?3, key2 = 0, version = version + 1, token = token + 1, worker = ?4,
    started_at = ?5
WHERE seq IN (
    SELECT seq FROM windlass_jobs
    WHERE queue = ?1 AND lane = 2 ORDER BY key1, key2, seq LIMIT ?2)

-- In:  several jobs, of which some may be NULL.
-- Out: as many changes.
-- Why: undoes end_leases where not every guard held. Only what it has just
--      inserted still has a lease beside it.
DELETE FROM windlass_ended
WHERE job IN (/*many*/?/*many*/)
    AND EXISTS (SELECT 1 FROM windlass_leases WHERE windlass_leases.job = windlass_ended.job)

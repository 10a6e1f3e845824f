-- In:  several jobs, of which some may be NULL.
-- Out: as many changes.
-- Why: goes with end_leases.
DELETE FROM windlass_leases WHERE job IN (/*many*/?/*many*/)

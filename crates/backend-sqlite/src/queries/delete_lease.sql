-- In:  ?1 job.
-- Out: one change if it was active.
-- Why: a lease that ends.
DELETE FROM windlass_leases WHERE job = ?1

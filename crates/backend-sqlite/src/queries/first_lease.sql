-- In:  ?1 queue.
-- Out: the first end of a lease, or NULL.
-- Why: goes through the leases; asked only where a limit bounds them.
SELECT min(until) FROM windlass_leases WHERE queue = ?1

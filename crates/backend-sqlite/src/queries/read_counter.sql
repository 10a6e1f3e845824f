-- In:  ?1 queue, ?2 state.
-- Out: how many jobs.
-- Why: a limit on leases compares this at every dequeue.
SELECT jobs FROM windlass_counters WHERE queue = ?1 AND state = ?2

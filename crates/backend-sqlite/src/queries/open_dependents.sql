-- In:  ?1 job that ends.
-- Out: the jobs that wait for it, in the order of their enqueue.
-- Why: each is counted once: what was counted is no longer open.
SELECT dependent FROM windlass_dependencies WHERE on_seq = ?1 AND open = 1 ORDER BY dependent

-- In:  ?1 job that ends.
-- Out: nothing.
-- Why: a job that is retried and ends again is not counted again.
UPDATE windlass_dependencies SET open = 0 WHERE on_seq = ?1 AND open = 1

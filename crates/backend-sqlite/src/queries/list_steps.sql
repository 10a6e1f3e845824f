-- In:  ?1 job.
-- Out: position, name, outcome, by position.
-- Why: the key of the table.
SELECT position, name, outcome FROM windlass_steps WHERE job = ?1 ORDER BY position

-- In:  ?1 job, ?2 position.
-- Out: name, outcome.
-- Why: for the caller that came second.
SELECT name, outcome FROM windlass_steps WHERE job = ?1 AND position = ?2

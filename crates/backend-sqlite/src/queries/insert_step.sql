-- In:  ?1 job, ?2 position, ?3 name, ?4 outcome.
-- Out: one change if it is the first at its position.
-- Why: the first record stays.
INSERT INTO windlass_steps (job, position, name, outcome) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (job, position) DO NOTHING

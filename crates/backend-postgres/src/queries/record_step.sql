-- In:  the arguments of functions/record_step.sql.
-- Out: its answer.
-- Why: checks the lease and writes in one step.
SELECT what, step, outcome FROM windlass.record_step($1, $2, $3, $4, $5, $6)

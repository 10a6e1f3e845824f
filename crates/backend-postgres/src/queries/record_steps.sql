-- In:  the arguments of functions/record_steps.sql.
-- Out: its answer.
-- Why: checks the leases and writes in one step.
SELECT at, what, step, outcome FROM windlass.record_steps($1, $2, $3, $4, $5, $6, $7)

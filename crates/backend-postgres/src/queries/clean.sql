-- In:  the arguments of functions/clean.sql.
-- Out: its answer.
-- Why: one call removes the batch.
SELECT clean FROM windlass.clean($1, $2, $3, $4, $5, $6)

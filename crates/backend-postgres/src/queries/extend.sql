-- In:  the arguments of functions/extend.sql.
-- Out: its answer.
-- Why: one call extends the batch.
SELECT number, moment, stop FROM windlass.extend($1, $2, $3, $4, $5, $6)

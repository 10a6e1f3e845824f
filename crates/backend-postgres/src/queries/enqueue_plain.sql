-- In:  the arguments of functions/enqueue_plain.sql.
-- Out: its answer.
-- Why: one call stores the batch.
SELECT * FROM windlass.enqueue_plain($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)

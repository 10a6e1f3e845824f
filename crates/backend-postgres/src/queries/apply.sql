-- In:  the arguments of functions/apply.sql.
-- Out: its answer.
-- Why: one call carries out the batch.
SELECT * FROM windlass.apply($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
    $20, $21, $22, $23, $24)

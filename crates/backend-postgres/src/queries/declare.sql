-- In:  the arguments of functions/declare.sql.
-- Out: whether the declaration is stored.
-- Why: compare and set.
SELECT windlass.declare($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

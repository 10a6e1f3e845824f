-- In:  the arguments of functions/lost_leases.sql.
-- Out: its answer.
-- Why: begins at the first lease that is alive.
SELECT * FROM windlass.lost_leases($1, $2, $3, $4, $5)

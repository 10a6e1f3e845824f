-- In:  the arguments of functions/dequeue.sql.
-- Out: its answer.
-- Why: one call leases, and says when to look again.
SELECT * FROM windlass.dequeue($1, $2, $3, $4, $5)

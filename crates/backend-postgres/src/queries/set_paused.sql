-- In:  the arguments of functions/set_paused.sql.
-- Out: its answer.
-- Why: one call that waits for the dequeues that are under way.
SELECT windlass.set_paused($1, $2)

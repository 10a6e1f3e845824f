-- In:  nothing.
-- Out: how many queues were counted anew.
-- Why: see functions/mend.sql.
SELECT windlass.mend()

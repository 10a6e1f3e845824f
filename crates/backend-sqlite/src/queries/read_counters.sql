-- In:  ?1 queue.
-- Out: state, how many jobs, for each state that ever had one.
-- Why: at most eight rows, whatever the number of jobs.
SELECT state, jobs FROM windlass_counters WHERE queue = ?1

-- In:  nothing.
-- Out: the next enqueue sequence.
-- Why: behind the last job, so that an enqueue need not write it down; the
--      stored number matters only where the last job has been removed.
SELECT max(next_seq, (SELECT coalesce(max(seq), 0) + 1 FROM windlass_jobs))
FROM windlass_meta WHERE only_row = 1

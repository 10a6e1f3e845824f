-- In:  ?1 the next enqueue sequence.
-- Out: nothing.
-- Why: the job before it, the last one, is removed.
UPDATE windlass_meta SET next_seq = ?1 WHERE only_row = 1

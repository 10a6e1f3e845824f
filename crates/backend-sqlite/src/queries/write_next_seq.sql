-- In:  ?1 the next enqueue sequence.
-- Out: nothing.
-- Why: written once per transaction, before it commits.
UPDATE windlass_meta SET next_seq = ?1 WHERE only_row = 1

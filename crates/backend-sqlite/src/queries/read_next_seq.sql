-- In:  nothing.
-- Out: the next enqueue sequence.
-- Why: read once per transaction, counted on in memory.
SELECT next_seq FROM windlass_meta WHERE only_row = 1

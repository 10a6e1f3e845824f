-- In:  nothing.
-- Out: nothing.
-- Why: takes the write lock before anything is read in a transaction that the
--      caller began, so that what is read cannot have been overtaken.
UPDATE main.windlass_meta SET next_seq = next_seq WHERE only_row = 1

-- In:  nothing.
-- Out: one row (1) if the file has our tables.
-- Why: a file that is an application's own database must not be taken for ours.
SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'windlass_meta'

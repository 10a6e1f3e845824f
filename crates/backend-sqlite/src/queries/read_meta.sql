-- In:  nothing.
-- Out: number of the last migration, the store's own 16 bytes.
-- Why: refuses newer schemas, and transactions on another file; one that is only
--      attached is another file.
SELECT schema, store FROM main.windlass_meta WHERE only_row = 1

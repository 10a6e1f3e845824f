-- In:  nothing.
-- Out: number of the last migration, the store's own 16 bytes.
-- Why: refuses newer schemas, and transactions on another file.
SELECT schema, store FROM windlass_meta WHERE only_row = 1

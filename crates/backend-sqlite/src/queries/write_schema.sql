-- In:  ?1 number of the migration that has just been carried out.
-- Out: nothing.
-- Why: our own row instead of PRAGMA user_version, which may be the
--      application's where both share a file.
UPDATE windlass_meta SET schema = ?1 WHERE only_row = 1

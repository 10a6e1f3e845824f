-- In:  nothing.
-- Out: the name of one table, if the file has any.
-- Why: tells a new file from somebody else's.
SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' LIMIT 1

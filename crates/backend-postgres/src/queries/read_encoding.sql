-- In:  nothing.
-- Out: the encoding of the database, and the server's version as a number.
-- Why: text must come back as it was given.
SELECT current_setting('server_encoding'), current_setting('server_version_num')::int

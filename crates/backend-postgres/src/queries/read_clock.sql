-- In:  a manual clock's moment or NULL.
-- Out: the store's time.
-- Why: only the server's clock counts.
SELECT windlass.clock($1)

-- The store's time.
-- answer     ok, now
-- why        as every other script sees it
-- with       base
return { 'ok', NOW }

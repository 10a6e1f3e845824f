-- In:  names of channels.
-- Out: nothing.
-- Why: an empty notice to whoever listens, on a connection of our own: never in a
--      transaction of the user, whose commit it would put in a row with others.
SELECT pg_notify(channel, '') FROM unnest($1::text[]) AS channel

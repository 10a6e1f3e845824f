-- In:  names of queues.
-- Out: their numbers, in the same order; NULL for a name that is not known.
CREATE FUNCTION windlass.queue_numbers(_names text[]) RETURNS int[]
LANGUAGE sql STABLE SET enable_seqscan = off AS $$
    SELECT array(SELECT q.id FROM unnest(_names) WITH ORDINALITY AS named(name, at)
                 LEFT JOIN windlass.queues q ON q.name = named.name ORDER BY named.at)
$$;

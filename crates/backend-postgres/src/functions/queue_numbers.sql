-- In:  names of queues.
-- Out: their numbers, in the same order; NULL for a name that is not known.
-- Why: in plpgsql, which keeps its plans.
CREATE FUNCTION windlass.queue_numbers(_names text[]) RETURNS int[]
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN array(SELECT q.id FROM unnest(_names) WITH ORDINALITY AS named(name, at)
                 LEFT JOIN windlass.queues q ON q.name = named.name ORDER BY named.at);
END
$$;

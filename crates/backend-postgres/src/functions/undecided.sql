-- In:  jobs that wait for others.
-- Out: those about which core has to decide, each with facts = [3].
CREATE FUNCTION windlass.undecided(_jobs bigint[]) RETURNS SETOF windlass.answer
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT s.*, NULL::bytea, NULL::bytea, array[3::bigint], NULL::text
    FROM (SELECT DISTINCT j AS seq FROM unnest(_jobs) AS j) AS d
    -- Each of them waits for something, and that row has its queue.
    JOIN windlass.dependencies dep ON dep.dependent = d.seq AND dep.position = 0
    JOIN windlass.jobs j ON j.queue = dep.dependent_queue AND j.seq = d.seq
    JOIN windlass.summaries s ON s.queue = j.queue AND s.seq = j.seq
    WHERE j.lane = 0 AND j.clear ORDER BY s.seq;
END
$$;

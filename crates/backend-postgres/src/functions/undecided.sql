-- In:  jobs that wait for others.
-- Out: those about which core has to decide, each with facts = [3].
-- Why: each is looked for by its keys, one after another: a plan that begins with what is
--      clear compares it with each of them.
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
    CROSS JOIN LATERAL (
        SELECT dep.dependent_queue AS queue FROM windlass.dependencies dep
        WHERE dep.dependent = d.seq AND dep.position = 0 LIMIT 1
    ) AS q
    CROSS JOIN LATERAL (
        SELECT k.seq FROM windlass.jobs k
        WHERE k.queue = q.queue AND k.seq = d.seq AND k.lane = 0 AND k.clear LIMIT 1
    ) AS j
    CROSS JOIN LATERAL (
        SELECT * FROM windlass.summaries v WHERE v.queue = q.queue AND v.seq = d.seq LIMIT 1
    ) AS s
    ORDER BY s.seq;
END
$$;

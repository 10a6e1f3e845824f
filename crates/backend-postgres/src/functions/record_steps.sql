-- In:  names of queues; for each step which of them its job stands in (NULL: all in
--      the first), the job, its token, the position, the name, the outcome.
-- Out: a row for each that is not recorded: its number, from 1; 0 if the lease is not
--      the current one, 2 with what is recorded already.
-- Why: the leases are held until the steps are written, so that nobody takes them over
--      in between. They come sorted by job, so that two batches do not wait for each
--      other crosswise, and no two have the same job and position.
CREATE FUNCTION windlass.record_steps(
    _names text[], _which int[], _ids uuid[], _tokens bigint[], _positions bigint[],
    _steps text[], _outcomes bytea[]
) RETURNS TABLE (at bigint, what int, step text, outcome bytea) LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    queues int[];
    seqs bigint[];
    fresh bigint[];
    fresh_queues int[];
    written bigint;
BEGIN
    queues := windlass.queue_numbers(_names);
    -- By number, what the lease says of its job; nothing where there is none.
    SELECT array_agg(l.seq ORDER BY u.at), array_agg(l.seq) FILTER (WHERE l.flags & 32 = 0),
           array_agg(l.queue) FILTER (WHERE l.flags & 32 = 0)
    INTO seqs, fresh, fresh_queues
    FROM unnest(_which, _ids, _tokens) WITH ORDINALITY AS u(which, id, token, at)
    LEFT JOIN LATERAL (
        SELECT k.queue, k.seq, k.flags FROM windlass.leases k
        WHERE k.queue = queues[coalesce(u.which, 1)] AND k.token = u.token AND k.id = u.id
        LIMIT 1 FOR UPDATE
    ) AS l ON true;
    INSERT INTO windlass.steps (queue, seq, position, name, outcome)
    SELECT queues[coalesce(u.which, 1)], seqs[u.at], u.position, u.name, u.outcome
    FROM unnest(_which, _positions, _steps, _outcomes)
        WITH ORDINALITY AS u(which, position, name, outcome, at)
    WHERE seqs[u.at] IS NOT NULL
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF fresh IS NOT NULL THEN
        UPDATE windlass.leases l SET flags = l.flags | 32 WHERE l.seq = ANY (fresh);
        UPDATE windlass.jobs j SET flags = j.flags | 32
        FROM unnest(fresh_queues, fresh) AS u(queue, seq)
        WHERE j.queue = u.queue AND j.seq = u.seq AND j.flags & 32 = 0;
    END IF;
    IF written = cardinality(_ids) THEN
        RETURN;
    END IF;
    -- What this transaction did not write was there before.
    RETURN QUERY
    SELECT u.at, CASE WHEN u.seq IS NULL THEN 0 ELSE 2 END, s.name, s.outcome
    FROM unnest(_which, seqs, _positions) WITH ORDINALITY AS u(which, seq, position, at)
    LEFT JOIN windlass.steps s ON s.queue = queues[coalesce(u.which, 1)] AND s.seq = u.seq
        AND s.position = u.position
    WHERE u.seq IS NULL OR s.xmin <> pg_current_xact_id()::xid;
END
$$;

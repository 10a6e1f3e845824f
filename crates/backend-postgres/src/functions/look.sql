-- In:  a queue.
-- Out: what is known of it in one snapshot, which comes along as "seen": the
--      last checkpoint and what the journal adds to it. entries: how much that
--      was. base, base_txid: the snapshot and the name of the checkpoint.
-- Why: being STABLE, all of it sees the snapshot of the statement that called it,
--      so that the checkpoint and the journal are seen together. The journal is
--      read from where the checkpoint's snapshot ended, and at the transactions
--      that were under way then, never from its front.
CREATE FUNCTION windlass.look(
    _queue int,
    OUT jobs bigint[], OUT sorts bigint[], OUT places bigint[], OUT open_end bool, OUT due bigint,
    OUT token bigint, OUT seen pg_snapshot, OUT base pg_snapshot, OUT base_txid xid8,
    OUT entries bigint
) LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    n record;
    at int;
    is_sorted bool := true;
BEGIN
    SELECT c.jobs, c.sorts, c.places, c.open_end, c.due, c.token, c.seen, c.txid
    INTO jobs, sorts, places, open_end, due, token, base, base_txid
    FROM windlass.checkpoints c WHERE c.queue = _queue
    ORDER BY c.queue DESC, c.txid DESC LIMIT 1;
    seen := pg_current_snapshot();
    entries := 0;
    FOR n IN
        SELECT j.* FROM windlass.journal j
        WHERE j.queue = _queue AND j.txid >= pg_snapshot_xmax(base)
        UNION ALL
        SELECT j.* FROM pg_snapshot_xip(base) AS xip CROSS JOIN LATERAL (
            SELECT k.* FROM windlass.journal k
            WHERE k.queue = _queue AND k.txid = xip LIMIT 9223372036854775807) AS j
    LOOP
        entries := entries + 1;
        jobs := array[jobs[1] + n.blocked, jobs[2] + n.scheduled, jobs[3] + n.waiting,
                      jobs[4] + n.active, jobs[5] + n.completed, jobs[6] + n.failed,
                      jobs[7] + n.cancelled, jobs[8] + n.expired];
        due := least(due, n.due);
        token := least(token, n.token);
        -- Behind an open end, no rank stands alone.
        CONTINUE WHEN n.sort IS NULL OR open_end AND n.sort > sorts[cardinality(sorts)];
        at := array_position(sorts, n.sort);
        IF at IS NOT NULL THEN
            places[at] := least(places[at], n.place);
        ELSIF open_end OR sorts[cardinality(sorts)] > n.sort THEN
            -- In front of the others; the last one stays the last.
            sorts := n.sort || sorts;
            places := n.place || places;
            is_sorted := false;
        ELSE
            sorts := sorts || n.sort;
            places := places || n.place;
        END IF;
    END LOOP;
    IF NOT is_sorted THEN
        SELECT array_agg(r.sort ORDER BY r.sort), array_agg(r.place ORDER BY r.sort)
        INTO sorts, places FROM unnest(sorts, places) AS r(sort, place);
    END IF;
    IF cardinality(sorts) > 64 THEN
        sorts := sorts[1:64];
        places := places[1:64];
        open_end := true;
    END IF;
END
$$;

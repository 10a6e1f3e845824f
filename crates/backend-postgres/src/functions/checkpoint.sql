-- In:  a queue, and what look() has answered before this transaction wrote
--      anything about it.
-- Out: where the tables now begin, as in checkpoints; a checkpoint is written if
--      nobody else is writing one, and this transaction has written nothing at all.
-- Why: finds the first that is alive in each table, from where it was last. What
--      is found now may be newer than the snapshot, and that does no harm: what
--      was alive in the snapshot and is gone now is gone for good, and what has
--      come since is in the journal. Checkpoints are written one after the other,
--      so that none goes back behind another.
CREATE FUNCTION windlass.checkpoint(
    _queue int, INOUT jobs bigint[], INOUT sorts bigint[], INOUT places bigint[],
    INOUT open_end bool, INOUT due bigint, INOUT token bigint, _seen pg_snapshot,
    _base pg_snapshot, _base_txid xid8
) LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_variable
DECLARE
    alive_sorts bigint[] := '{}';
    alive_places bigint[] := '{}';
    still_open bool := false;
    first record;
BEGIN
    FOR i IN 1..cardinality(sorts) LOOP
        IF open_end AND i = cardinality(sorts) THEN
            SELECT r.sort, r.place INTO first FROM windlass.ready r
            WHERE r.queue = _queue AND (r.sort, r.place) >= (sorts[i], places[i])
            ORDER BY r.queue, r.sort, r.place LIMIT 1;
            still_open := FOUND;
        ELSE
            SELECT r.sort, r.place INTO first FROM windlass.ready r
            WHERE r.queue = _queue AND r.sort = sorts[i] AND r.place >= places[i]
            ORDER BY r.queue, r.sort, r.place LIMIT 1;
        END IF;
        IF FOUND THEN
            alive_sorts := alive_sorts || first.sort;
            alive_places := alive_places || first.place;
        END IF;
    END LOOP;
    sorts := alive_sorts;
    places := alive_places;
    open_end := still_open;
    IF due IS NOT NULL THEN
        SELECT s.due INTO due FROM windlass.scheduled s WHERE s.queue = _queue AND s.due >= due
        ORDER BY s.queue, s.due LIMIT 1;
    END IF;
    IF token IS NOT NULL THEN
        SELECT l.token INTO token FROM windlass.leases l
        WHERE l.queue = _queue AND l.token >= token ORDER BY l.queue, l.token LIMIT 1;
    END IF;
    -- A snapshot never names its own transaction: once that has a number and somebody with
    -- a higher one has committed, it counts as seen. What it writes later, after this
    -- checkpoint, would be left out for ever.
    IF pg_current_xact_id_if_assigned() IS NOT NULL
        OR NOT pg_try_advisory_xact_lock(windlass.lock_of(_queue) + 1)
    THEN
        RETURN;
    END IF;
    -- Whoever wrote one since the look knows more.
    IF EXISTS (SELECT 1 FROM windlass.checkpoints c WHERE c.queue = _queue AND c.txid > _base_txid)
    THEN
        RETURN;
    END IF;
    INSERT INTO windlass.checkpoints
    VALUES (_queue, pg_current_xact_id(), _seen, jobs, sorts, places, open_end, due, token);
    DELETE FROM windlass.checkpoints c WHERE c.queue = _queue AND c.txid = _base_txid;
    DELETE FROM windlass.journal j
    WHERE j.queue = _queue AND j.txid >= pg_snapshot_xmax(_base)
        AND j.txid < pg_snapshot_xmax(_seen) AND pg_visible_in_snapshot(j.txid, _seen);
    DELETE FROM windlass.journal WHERE ctid = ANY (ARRAY(
        SELECT old.tid FROM pg_snapshot_xip(_base) AS xip CROSS JOIN LATERAL (
            SELECT j.ctid AS tid FROM windlass.journal j
            WHERE j.queue = _queue AND j.txid = xip LIMIT 9223372036854775807) AS old
        WHERE pg_visible_in_snapshot(xip, _seen)));
END
$$;

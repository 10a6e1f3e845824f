-- In:  a queue.
-- Out: what is known of it in one snapshot, which comes along as "seen": the
--      last checkpoint and what the journal adds to it. entries: how much that
--      was. base, base_txid: the snapshot and the name of the checkpoint.
-- Why: one statement, so that the checkpoint and the journal are seen together.
--      The journal is read from where the checkpoint's snapshot ended, and at
--      the transactions that were under way then, never from its front.
CREATE FUNCTION windlass.look(
    _queue int,
    OUT jobs bigint[], OUT sorts bigint[], OUT places bigint[], OUT open_end bool, OUT due bigint,
    OUT token bigint, OUT seen pg_snapshot, OUT base pg_snapshot, OUT base_txid xid8,
    OUT entries bigint
) LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    WITH base AS MATERIALIZED (
        SELECT c.* FROM windlass.checkpoints c WHERE c.queue = _queue
        ORDER BY c.queue DESC, c.txid DESC LIMIT 1
    ), news AS MATERIALIZED (
        SELECT later.* FROM base CROSS JOIN LATERAL (
            SELECT j.* FROM windlass.journal j
            WHERE j.queue = _queue AND j.txid >= pg_snapshot_xmax(base.seen)
            UNION ALL
            SELECT j.* FROM pg_snapshot_xip(base.seen) AS xip CROSS JOIN LATERAL (
                SELECT k.* FROM windlass.journal k
                WHERE k.queue = _queue AND k.txid = xip LIMIT 9223372036854775807) AS j
        ) AS later
    ), ranks AS (
        SELECT known.sort, min(known.place) AS place FROM (
            SELECT had.sort, had.place FROM base, unnest(base.sorts, base.places) AS had(sort, place)
            UNION ALL
            SELECT news.sort, news.place FROM news WHERE news.sort IS NOT NULL
        ) AS known GROUP BY known.sort
    ), first AS (
        -- Behind an open end, no rank stands alone; and there are only so many.
        SELECT r.sort, r.place FROM ranks r, base
        WHERE NOT base.open_end OR r.sort <= base.sorts[cardinality(base.sorts)]
        ORDER BY r.sort LIMIT 64
    ), lines AS (
        SELECT coalesce(array_agg(f.sort ORDER BY f.sort), '{}') AS sorts,
               coalesce(array_agg(f.place ORDER BY f.sort), '{}') AS places
        FROM first f
    ), sums AS (
        SELECT array[coalesce(sum(blocked), 0), coalesce(sum(scheduled), 0),
                     coalesce(sum(waiting), 0), coalesce(sum(active), 0),
                     coalesce(sum(completed), 0), coalesce(sum(failed), 0),
                     coalesce(sum(cancelled), 0), coalesce(sum(expired), 0)] AS added,
               min(news.due) AS due, min(news.token) AS token, count(*) AS entries
        FROM news
    )
    SELECT array(SELECT (b.jobs[i] + s.added[i])::bigint FROM generate_series(1, 8) AS i),
           l.sorts, l.places,
           (b.open_end OR (SELECT count(*) FROM ranks) > 64) AND cardinality(l.sorts) > 0,
           least(b.due, s.due), least(b.token, s.token), pg_current_snapshot(), b.seen, b.txid,
           s.entries
    INTO jobs, sorts, places, open_end, due, token, seen, base, base_txid, entries
    FROM base b, sums s, lines l;
END
$$;

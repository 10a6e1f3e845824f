-- In:  a queue, where a rank in ready begins, whether all ranks behind it are
--      meant too, how many jobs at most, and now.
-- Out: the jobs that came first, and stand in ready no more; whether some of the
--      queue, perhaps of these, are past their expiry.
-- Why: in the order of the index, from where there is something alive. Rows that
--      somebody else is taking or changing at this moment are left to them.
CREATE FUNCTION windlass.take(
    _queue int, _sort bigint, _place bigint, _open_end bool, _max bigint, _now bigint,
    OUT taken bigint[], OUT some_expired bool
) LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    IF _open_end THEN
        WITH gone AS (
            DELETE FROM windlass.ready WHERE ctid = ANY (ARRAY(
                SELECT r.ctid FROM windlass.ready r
                WHERE r.queue = _queue AND (r.sort, r.place) >= (_sort, _place)
                ORDER BY r.queue, r.sort, r.place, r.seq LIMIT _max FOR UPDATE SKIP LOCKED))
            RETURNING seq
        )
        SELECT coalesce(array_agg(gone.seq), '{}'),
               EXISTS (SELECT 1 FROM windlass.expiring e WHERE e.queue = _queue AND e.moment <= _now)
        INTO taken, some_expired FROM gone;
    ELSE
        WITH gone AS (
            DELETE FROM windlass.ready WHERE ctid = ANY (ARRAY(
                SELECT r.ctid FROM windlass.ready r
                WHERE r.queue = _queue AND r.sort = _sort AND r.place >= _place
                ORDER BY r.queue, r.sort, r.place, r.seq LIMIT _max FOR UPDATE SKIP LOCKED))
            RETURNING seq
        )
        SELECT coalesce(array_agg(gone.seq), '{}'),
               EXISTS (SELECT 1 FROM windlass.expiring e WHERE e.queue = _queue AND e.moment <= _now)
        INTO taken, some_expired FROM gone;
    END IF;
END
$$;

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

-- In:  a queue, where ranks in ready begin, whether all behind the last one are meant
--      too.
-- Out: whether a job stands there, though somebody else may be taking it.
-- Why: whoever leases as many as it may has to ask again at once, and whoever passed
--      over what others hold has to ask again soon.
CREATE FUNCTION windlass.any_ready(_queue int, _sorts bigint[], _places bigint[], _open_end bool)
RETURNS bool LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    FOR i IN 1..coalesce(cardinality(_sorts), 0) LOOP
        PERFORM 1 FROM windlass.ready r
        WHERE r.queue = _queue AND (r.sort, r.place) >= (_sorts[i], _places[i])
            AND (r.sort = _sorts[i] OR _open_end AND i = cardinality(_sorts))
        LIMIT 1;
        IF FOUND THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END
$$;

-- In:  a queue, and the first token that is alive.
-- Out: its leases.
-- Why: in the order of the tokens, whatever the statistics say, so that the scan
--      begins where there is something alive.
CREATE FUNCTION windlass.live_leases(_queue int, _token bigint) RETURNS SETOF windlass.leases
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY SELECT l.* FROM windlass.leases l
    WHERE l.queue = _queue AND l.token >= _token ORDER BY l.queue, l.token;
END
$$;

-- In:  a queue, now, and jobs that a dequeue has taken out of the order.
-- Out: those of them that may start. The others are past their expiry, and go on
--      waiting where no later dequeue comes across them.
CREATE FUNCTION windlass.set_aside(_queue int, _now bigint, _jobs bigint[]) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    expired bigint[];
BEGIN
    IF cardinality(_jobs) = 0 OR NOT EXISTS (
        SELECT 1 FROM windlass.expiring e WHERE e.queue = _queue AND e.moment <= _now)
    THEN
        RETURN _jobs;
    END IF;
    WITH put AS (
        INSERT INTO windlass.parked (queue, seq, place)
        SELECT _queue, j.seq, j.place
        FROM unnest(_jobs) AS t CROSS JOIN LATERAL (
            SELECT one.* FROM windlass.jobs one WHERE one.queue = _queue AND one.seq = t LIMIT 1) AS j
        WHERE j.expires <= _now AND j.started_at IS NULL
        RETURNING seq, place
    ), aged AS (
        DELETE FROM windlass.aged a USING put
        WHERE a.queue = _queue AND a.place = put.place AND a.seq = put.seq
    )
    SELECT array_agg(put.seq) INTO expired FROM put;
    IF expired IS NULL THEN
        RETURN _jobs;
    END IF;
    RETURN array(SELECT t FROM unnest(_jobs) AS t WHERE t <> ALL (expired));
END
$$;

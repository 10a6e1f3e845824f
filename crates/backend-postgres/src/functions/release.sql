-- In:  a queue, now, and the first moment that is alive in scheduled.
-- Out: how many jobs whose moment has come now stand in the order.
-- Why: narrow rows move from one table to the other; the jobs stay as they are.
--      Rows that somebody else is changing at this moment are left alone.
CREATE FUNCTION windlass.release(_queue int, _now bigint, _from bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    q windlass.queues;
    come bigint[];
BEGIN
    SELECT * INTO q FROM windlass.queues WHERE id = _queue;
    WITH gone AS (
        DELETE FROM windlass.scheduled WHERE ctid = ANY (ARRAY(
            SELECT s.ctid FROM windlass.scheduled s
            WHERE s.queue = _queue AND s.due >= _from AND s.due <= _now
            FOR UPDATE SKIP LOCKED))
        RETURNING seq
    )
    SELECT array_agg(gone.seq) INTO come FROM gone;
    IF come IS NULL THEN
        RETURN 0;
    END IF;
    IF q.partitioned THEN
        WITH put AS (
            INSERT INTO windlass.lines (queue, partition, sort, place, seq, due)
            SELECT _queue, j.partition, j.sort, j.place, j.seq, j.due
            FROM unnest(come) AS c CROSS JOIN LATERAL (
                SELECT one.* FROM windlass.jobs one WHERE one.queue = _queue AND one.seq = c LIMIT 1) AS j
            -- One that was put off and kept its place stands in line already.
            ON CONFLICT DO NOTHING RETURNING partition
        )
        INSERT INTO windlass.touched SELECT DISTINCT _queue, put.partition FROM put;
        INSERT INTO windlass.journal (queue, txid, scheduled, waiting)
        VALUES (_queue, pg_current_xact_id(), -cardinality(come), cardinality(come));
    ELSE
        WITH put AS (
            INSERT INTO windlass.ready (queue, sort, place, seq)
            SELECT _queue, j.sort, j.place, j.seq
            FROM unnest(come) AS c CROSS JOIN LATERAL (
                SELECT one.* FROM windlass.jobs one WHERE one.queue = _queue AND one.seq = c LIMIT 1) AS j
            RETURNING sort, place, seq
        ), aged AS (
            INSERT INTO windlass.aged SELECT _queue, put.place, put.seq FROM put WHERE q.aged
        )
        INSERT INTO windlass.journal (queue, txid, scheduled, waiting, sort, place)
        SELECT _queue, pg_current_xact_id(), -count(*), count(*), put.sort, min(put.place)
        FROM put GROUP BY CASE WHEN q.aged THEN 0 ELSE put.sort END, put.sort;
    END IF;
    RETURN cardinality(come);
END
$$;

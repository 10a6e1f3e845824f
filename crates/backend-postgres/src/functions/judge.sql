-- In:  a partitioned queue, and now.
-- Out: nothing.
-- Why: the first job in a partition's line decides for all behind it. A
--      partition is judged when its line, its leases or its limits have changed,
--      which touched tells, and when the moment comes that it waits for; so a
--      dequeue takes the first from an index, however many partitions there are.
--      Only a dequeue judges, under the queue's lock: whoever else changes
--      something leaves a note in touched. A partition that waits for one of its
--      own leases needs no row: the end of the lease leaves a note.
CREATE FUNCTION windlass.judge(_queue int, _now bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    q windlass.queues;
    names text[];
BEGIN
    SELECT * INTO q FROM windlass.queues WHERE id = _queue;
    WITH told AS (
        DELETE FROM windlass.touched t WHERE t.queue = _queue RETURNING t.partition
    )
    SELECT array_agg(n.partition) INTO names FROM (
        SELECT told.partition FROM told
        UNION SELECT p.partition FROM windlass.partitions p
        WHERE p.queue = _queue AND p.status = 2 AND p.moment <= _now
    ) AS n;
    IF names IS NULL THEN
        RETURN;
    END IF;
    WITH facts AS MATERIALIZED (
        SELECT n.partition, head.sort, head.place, head.seq, head.due,
               q.partition_concurrency - held.leases AS slots,
               q.partition_rate_limit - coalesce(used.jobs, 0) AS starts, used.oldest
        FROM unnest(names) AS n(partition)
        LEFT JOIN LATERAL (
            SELECT l.sort, l.place, l.seq, l.due FROM windlass.lines l
            WHERE l.queue = _queue AND l.partition = n.partition
            ORDER BY l.sort, l.place, l.seq LIMIT 1
        ) AS head ON true
        LEFT JOIN LATERAL (
            SELECT count(*) AS leases FROM (
                SELECT 1 FROM windlass.leases l
                WHERE l.queue + 0 = _queue AND l.partition = n.partition
                LIMIT q.partition_concurrency) AS counted
        ) AS held ON q.partition_concurrency IS NOT NULL
        LEFT JOIN LATERAL (
            SELECT sum(s.jobs) AS jobs, min(s.moment) AS oldest FROM windlass.starts s
            WHERE s.queue = _queue AND s.owner = n.partition
                AND s.moment > _now - q.partition_rate_period
        ) AS used ON q.partition_rate_limit IS NOT NULL
    ), judged AS MATERIALIZED (
        SELECT f.*, CASE WHEN f.seq IS NULL THEN NULL
                         WHEN f.due > _now THEN 2
                         WHEN f.slots <= 0 THEN CASE WHEN q.partition_concurrency = 0 THEN 4 END
                         WHEN f.starts <= 0 THEN CASE WHEN q.partition_rate_limit = 0 THEN 4 ELSE 2 END
                         ELSE 1 END AS status
        FROM facts f
    ), gone AS (
        DELETE FROM windlass.partitions WHERE ctid = ANY (ARRAY(
            SELECT old.tid FROM judged f CROSS JOIN LATERAL (
                SELECT p.ctid AS tid FROM windlass.partitions p
                WHERE p.queue = _queue AND p.partition = f.partition LIMIT 1) AS old
            WHERE f.status IS NULL))
    )
    INSERT INTO windlass.partitions AS p
        (queue, partition, status, room, sort, place, seq, moment)
    SELECT _queue, f.partition, f.status,
           least(f.slots, f.starts, 9223372036854775807), f.sort, f.place, f.seq,
           CASE WHEN f.status <> 2 THEN NULL
                WHEN f.due > _now THEN f.due
                ELSE windlass.later(f.oldest, q.partition_rate_period) END
    FROM judged f WHERE f.status IS NOT NULL
    ON CONFLICT (queue, partition) DO UPDATE
    SET status = excluded.status, room = excluded.room, sort = excluded.sort,
        place = excluded.place, seq = excluded.seq, moment = excluded.moment
    WHERE (p.status, p.room, p.seq, p.sort, p.place, p.moment) IS DISTINCT FROM
        (excluded.status, excluded.room, excluded.seq, excluded.sort, excluded.place, excluded.moment);
END
$$;

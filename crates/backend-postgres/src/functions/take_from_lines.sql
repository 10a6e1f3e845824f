-- In:  a partitioned queue, now, how many jobs at most, and whether the starts of
--      its partitions are limited.
-- Out: the jobs that come first among those that their partitions let start;
--      they stand in line no more.
-- Why: the first n jobs stand in the first n partitions, and each partition has
--      room for only so many. Nobody else takes from lines: the caller has the
--      queue's lock. A partition whose first job somebody is changing at this
--      moment is left alone. What is past its expiry leaves its line before
--      anything is taken, because that changes which jobs come first. A partition
--      of which as many start as it has slots waits for them now, and has no row
--      any more; the others are judged anew.
CREATE FUNCTION windlass.take_from_lines(_queue int, _now bigint, _max bigint, _rated bool)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    first_jobs bigint[];
    places tid[];
    of_partitions tid[];
    names text[];
    rooms bigint[];
    put_off bigint[];
    may_start bigint[];
BEGIN
    LOOP
        SELECT array_agg(line.seq), array_agg(line.tid), array_agg(line.of_partition),
               array_agg(line.partition), array_agg(line.room),
               array_agg(line.seq) FILTER (WHERE line.place < line.due)
        INTO first_jobs, places, of_partitions, names, rooms, put_off FROM (
            SELECT first.seq, first.tid, first.place, first.due, p.of_partition, p.partition, p.room
            FROM (
                SELECT p.ctid AS of_partition, p.partition, p.room, p.seq FROM windlass.partitions p
                WHERE p.queue = _queue AND p.status = 1
                ORDER BY p.queue, p.sort, p.place, p.seq LIMIT _max
            ) AS p CROSS JOIN LATERAL (
                SELECT free.sort, free.place, free.seq, free.tid, free.due,
                       bool_and(free.due <= _now) OVER in_order
                           AND first_value(free.seq) OVER in_order = p.seq AS in_turn
                FROM (
                    SELECT l.ctid AS tid, l.* FROM windlass.lines l
                    WHERE l.queue = _queue AND l.partition = p.partition
                    ORDER BY l.sort, l.place, l.seq LIMIT least(p.room, _max)
                    FOR UPDATE SKIP LOCKED
                ) AS free
                WINDOW in_order AS (ORDER BY free.sort, free.place, free.seq)
            ) AS first
            WHERE first.in_turn
            ORDER BY first.sort, first.place, first.seq LIMIT _max
        ) AS line;
        IF first_jobs IS NULL THEN
            RETURN '{}';
        END IF;
        may_start := windlass.set_aside(_queue, _now, first_jobs);
        IF cardinality(may_start) < cardinality(first_jobs) THEN
            SELECT array_agg(f.seq), array_agg(f.tid), array_agg(f.partition), '{}', '{}'
            INTO first_jobs, places, names, of_partitions, rooms
            FROM unnest(first_jobs, places, names) AS f(seq, tid, partition)
            WHERE f.seq <> ALL (may_start);
            put_off := array(SELECT f FROM unnest(put_off) AS f WHERE f <> ALL (may_start));
        END IF;
        -- Locked above, they are where they were.
        DELETE FROM windlass.lines WHERE ctid = ANY (places);
        WITH took AS MATERIALIZED (
            SELECT t.partition, min(t.tid) AS tid, count(*) >= min(t.room) AND NOT _rated AS is_full
            FROM unnest(names, of_partitions, rooms) AS t(partition, tid, room) GROUP BY t.partition
        ), full_ones AS (
            DELETE FROM windlass.partitions
            WHERE ctid = ANY (ARRAY(SELECT took.tid FROM took WHERE took.is_full))
        )
        INSERT INTO windlass.touched
        SELECT _queue, took.partition FROM took WHERE took.is_full IS NOT TRUE;
        -- One that was put off and kept its place may stand in scheduled still:
        -- somebody was changing it when the others were released.
        IF put_off IS NOT NULL THEN
            WITH gone AS (
                DELETE FROM windlass.scheduled WHERE ctid = ANY (ARRAY(
                    SELECT found.tid FROM unnest(put_off) AS f CROSS JOIN LATERAL (
                        SELECT one.* FROM windlass.jobs one
                        WHERE one.queue = _queue AND one.seq = f LIMIT 1) AS j
                    CROSS JOIN LATERAL (
                        SELECT s.ctid AS tid FROM windlass.scheduled s
                        WHERE s.queue = _queue AND s.due = j.due AND s.seq = f LIMIT 1) AS found))
                RETURNING seq
            )
            INSERT INTO windlass.journal (queue, txid, scheduled, waiting)
            SELECT _queue, pg_current_xact_id(), -count(*), count(*) FROM gone HAVING count(*) > 0;
        END IF;
        IF first_jobs = may_start THEN
            RETURN may_start;
        END IF;
        PERFORM windlass.judge(_queue, _now);
    END LOOP;
END
$$;

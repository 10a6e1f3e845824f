-- In:  a manual clock's moment or NULL, a queue's name, who asks, how many jobs at
--      most, and for how long.
-- Out: nothing if there is no such queue. Otherwise the leased jobs, in no order,
--      and then a row with note = the declaration and facts = [now, paused,
--      whether more could start, leases, the first end of a lease, starts in the
--      window of the rate, the oldest of them, the next moment of a scheduled
--      job, the next moment of a line or of jobs that somebody is changing].
-- Why: one call, one transaction. A queue with bounds is dequeued by one at a
--      time, so that they hold however many ask; others together, so that the
--      former sees what the latter began under an older declaration. Jobs are
--      read once they are taken, so that they are read as they are, and as a rule
--      once. Whoever asked sorts them, who has less to carry.
CREATE FUNCTION windlass.dequeue(
    _clock bigint, _name text, _worker uuid, _max bigint, _lease bigint
) RETURNS SETOF windlass.answer LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    q windlass.queues;
    was windlass.queues;
    is_shared bool := false;
    now bigint;
    k record;
    answer windlass.answer;
    room bigint := _max;
    held bigint;
    first_end bigint;
    used bigint;
    oldest bigint;
    next_due bigint;
    next_line bigint;
    more bool := false;
    picked bigint[] := '{}';
    t record;
    bits int;
    missing bigint;
    line int := 1;
    new_token bigint;
BEGIN
    SELECT * INTO q FROM windlass.queues WHERE name = _name;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    LOOP
        was := q;
        IF q.partitioned OR q.concurrency IS NOT NULL OR q.rate_limit IS NOT NULL THEN
            -- Several that all have the lock and want it alone would wait for each other.
            IF is_shared THEN
                RAISE EXCEPTION 'a queue has bounds by now' USING ERRCODE = '40001';
            END IF;
            PERFORM pg_advisory_xact_lock(windlass.lock_of(q.id));
        ELSE
            is_shared := true;
            PERFORM pg_advisory_xact_lock_shared(windlass.lock_of(q.id));
        END IF;
        SELECT * INTO q FROM windlass.queues WHERE id = was.id;
        EXIT WHEN q = was;
    END LOOP;
    now := windlass.clock(_clock);
    IF q.paused THEN
        answer.facts := array[now, 1, 0, 0, NULL, 0, NULL, NULL, NULL];
        answer.note := q.spec;
        RETURN NEXT answer;
        RETURN;
    END IF;

    k := windlass.look(q.id);
    IF k.entries >= 16 THEN
        SELECT c.* INTO k.jobs, k.sorts, k.places, k.open_end, k.due, k.token
        FROM windlass.checkpoint(q.id, k.jobs, k.sorts, k.places, k.open_end, k.due, k.token,
                                 k.seen, k.base, k.base_txid) AS c;
    END IF;
    IF k.due <= now AND windlass.release(q.id, now, k.due) > 0 THEN
        k := windlass.look(q.id);
    END IF;

    IF q.concurrency IS NOT NULL THEN
        SELECT count(*), min(l.until) INTO held, first_end
        FROM windlass.live_leases(q.id, k.token) AS l;
        room := least(room, q.concurrency - held);
    END IF;
    IF q.rate_limit IS NOT NULL THEN
        SELECT coalesce(sum(s.jobs), 0), min(s.moment) INTO used, oldest FROM windlass.starts s
        WHERE s.queue = q.id AND s.owner = '' AND s.moment > now - q.rate_period;
        room := least(room, q.rate_limit - used);
    END IF;

    IF q.partitioned THEN
        PERFORM windlass.judge(q.id, now);
        IF room > 0 THEN
            picked := windlass.take_from_lines(q.id, now, room,
                                                q.partition_rate_limit IS NOT NULL);
        END IF;
    ELSE
        WHILE cardinality(picked) < room AND line <= cardinality(k.sorts) LOOP
            missing := room - cardinality(picked);
            t := windlass.take(q.id, k.sorts[line], k.places[line],
                               k.open_end AND line = cardinality(k.sorts), missing, now);
            IF cardinality(t.taken) < missing THEN
                line := line + 1;
            END IF;
            picked := picked || CASE WHEN t.some_expired
                THEN windlass.set_aside(q.id, now, t.taken) ELSE t.taken END;
        END LOOP;
        -- What was passed over, somebody else is taking or changing: they may leave it.
        IF cardinality(picked) < room THEN
            line := 1;
        END IF;
        more := windlass.any_ready(q.id, k.sorts[line:], k.places[line:], k.open_end);
    END IF;

    IF cardinality(picked) > 0 THEN
        -- What was seen up to here may have happened after the first look at the
        -- clock, such as the end of the job that a partition or a slot waited for.
        -- By the store's time, too, these jobs start after it.
        now := greatest(now, windlass.clock(_clock));
        new_token := nextval('windlass.lease_token');
        RETURN QUERY
        WITH job AS MATERIALIZED (
            SELECT one.* FROM unnest(picked) AS p CROSS JOIN LATERAL (
                SELECT j.* FROM windlass.jobs j WHERE j.queue = q.id AND j.seq = p LIMIT 1) AS one
        ), leased AS (
            INSERT INTO windlass.leases (queue, flags, token, seq, id, version, until, started_at,
                                         worker, cancel_requested, partition)
            SELECT q.id, j.flags, new_token, j.seq, j.id, j.version + 1,
                   windlass.later(now, _lease), now, _worker, coalesce(j.cancel_requested, false),
                   j.partition
            FROM job j
        ), noted AS (
            INSERT INTO windlass.journal (queue, txid, waiting, active, token)
            VALUES (q.id, pg_current_xact_id(), -cardinality(picked), cardinality(picked), new_token)
        )
        SELECT j.queue, j.seq, j.id, 3::smallint, j.version + 1, new_token,
               windlass.later(now, _lease), j.flags, j.sort, j.aged_base, j.place, j.due,
               j.enqueued_at, now, _worker,
               coalesce(j.cancel_requested, false), coalesce(j.open, 0), coalesce(j.broken, 0),
               j.expires, j.partition, j.job_type, j.options, j.dedup_key, j.dedup_held,
               j.dedup_latest, j.rare, j.course, j.progress, NULL::bytea, j.payload,
               NULL::bigint[], NULL::text
        FROM job j;
        SELECT bit_or(l.flags) INTO bits FROM windlass.leases l
        WHERE l.queue = q.id AND l.token = new_token;
        IF bits & 4 <> 0 THEN
            DELETE FROM windlass.expiring WHERE ctid = ANY (ARRAY(
                SELECT found.tid FROM unnest(picked) AS p CROSS JOIN LATERAL (
                    SELECT one.* FROM windlass.jobs one WHERE one.queue = q.id AND one.seq = p LIMIT 1) AS j
                CROSS JOIN LATERAL (
                    SELECT e.ctid AS tid FROM windlass.expiring e
                    WHERE e.queue = q.id AND e.moment = j.expires AND e.seq = p LIMIT 1) AS found));
        END IF;
        IF bits & 8 <> 0 THEN
            DELETE FROM windlass.aged WHERE ctid = ANY (ARRAY(
                SELECT found.tid FROM unnest(picked) AS p CROSS JOIN LATERAL (
                    SELECT one.* FROM windlass.jobs one WHERE one.queue = q.id AND one.seq = p LIMIT 1) AS j
                CROSS JOIN LATERAL (
                    SELECT a.ctid AS tid FROM windlass.aged a
                    WHERE a.queue = q.id AND a.place = j.place AND a.seq = p LIMIT 1) AS found));
        END IF;
        IF q.rate_limit IS NOT NULL THEN
            INSERT INTO windlass.starts AS s VALUES (q.id, '', now, cardinality(picked))
            ON CONFLICT (queue, owner, moment) DO UPDATE SET jobs = s.jobs + excluded.jobs;
            DELETE FROM windlass.starts s
            WHERE s.queue = q.id AND s.owner = '' AND s.moment <= now - q.rate_period;
        END IF;
        IF q.partition_rate_limit IS NOT NULL THEN
            INSERT INTO windlass.starts AS s
            SELECT q.id, j.partition, now, count(*)
            FROM unnest(picked) AS p CROSS JOIN LATERAL (
                SELECT one.* FROM windlass.jobs one WHERE one.queue = q.id AND one.seq = p LIMIT 1) AS j
            GROUP BY j.partition
            ON CONFLICT (queue, owner, moment) DO UPDATE SET jobs = s.jobs + excluded.jobs;
            DELETE FROM windlass.starts s
            WHERE s.queue + 0 = q.id AND s.owner <> '' AND s.moment <= now - q.partition_rate_period;
        END IF;
        held := held + cardinality(picked);
        used := used + cardinality(picked);
        oldest := coalesce(oldest, now);
        IF q.concurrency IS NOT NULL AND held >= q.concurrency THEN
            first_end := least(first_end, windlass.later(now, _lease));
        END IF;
    END IF;

    IF q.partitioned THEN
        PERFORM windlass.judge(q.id, now);
        more := EXISTS (SELECT 1 FROM windlass.partitions p WHERE p.queue = q.id AND p.status = 1);
        IF NOT more THEN
            SELECT p.moment INTO next_line FROM windlass.partitions p
            WHERE p.queue = q.id AND p.status = 2 ORDER BY p.queue, p.moment LIMIT 1;
            SELECT least(next_line, min(busy.until)) INTO next_line
            FROM (
                SELECT l.partition, min(l.until) AS until
                FROM windlass.live_leases(q.id, coalesce(k.token, new_token)) AS l
                WHERE l.partition IS NOT NULL GROUP BY l.partition
            ) AS busy CROSS JOIN LATERAL (
                SELECT 1 FROM windlass.lines n
                WHERE n.queue = q.id AND n.partition = busy.partition LIMIT 1) AS line
            LEFT JOIN LATERAL (
                SELECT true AS is_there FROM windlass.partitions p
                WHERE p.queue = q.id AND p.partition = busy.partition LIMIT 1) AS judged ON true
            -- What has a row waits for something else.
            WHERE judged.is_there IS NULL;
        END IF;
    END IF;
    IF more AND cardinality(picked) < room THEN
        -- What is left, somebody else is taking or changing at this moment.
        more := false;
        next_line := least(next_line, now + 10000);
    END IF;
    IF NOT more AND k.due IS NOT NULL THEN
        SELECT s.due INTO next_due
        FROM (
            SELECT f.due, f.seq FROM windlass.scheduled f
            WHERE f.queue = q.id AND f.due >= k.due ORDER BY f.queue, f.due LIMIT 1000
        ) AS s CROSS JOIN LATERAL (
            SELECT one.* FROM windlass.jobs one WHERE one.queue = q.id AND one.seq = s.seq LIMIT 1) AS j
        WHERE j.expires IS NULL OR j.expires > s.due OR j.started_at IS NOT NULL
        ORDER BY s.due LIMIT 1;
        -- Somebody else may have put the last one in line since this looked there.
        IF next_due IS NULL THEN
            IF q.partitioned THEN
                PERFORM windlass.judge(q.id, now);
                more := EXISTS (
                    SELECT 1 FROM windlass.partitions p WHERE p.queue = q.id AND p.status = 1);
            ELSE
                k := windlass.look(q.id);
                more := windlass.any_ready(q.id, k.sorts, k.places, k.open_end);
            END IF;
            IF more THEN
                more := false;
                next_line := least(next_line, now + 10000);
            END IF;
        END IF;
    END IF;
    answer.facts := array[now, 0, more::int, held, first_end, used, oldest, next_due, next_line];
    answer.note := q.spec;
    RETURN NEXT answer;
END
$$;

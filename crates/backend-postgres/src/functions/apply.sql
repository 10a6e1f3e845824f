-- In:  a manual clock's moment or NULL; names of queues; for each transition which
--      of them its job stands in (NULL: all in the first), the job, the version and
--      the token of its guard, whether the lease must have run out, whether it is
--      a plain end (1 or 2; see below), where it goes (0 stays, 1 pending, 2 ends,
--      3 removed), the state it ends in, its result, whether a stop is requested,
--      its moment (after, at), whether it keeps its place, whether its course is
--      new, the course, a new payload, whether its expiry is dropped, whether steps
--      come with it. An array that is NULL stands for one of NULLs. Of all these steps:
--      the number of the transition, the position, the name, the outcome.
-- Out: a row with facts = [0, now]; one with [1, transition, what] for each that is
--      not carried out: what 1, there is no such job; 2, the guard does not hold,
--      with the job; 3, the row's dedup_key is taken by the job with the row's id;
--      and one with [3] for each job about which core has to decide.
-- Why: plain ends, those of leased jobs on which nothing else hangs, go together
--      and without looking at the jobs: the row of a lease says all, and whatever
--      changes about the job raises that row's version. All else goes one by one,
--      by job, so that two batches do not wait for each other crosswise.
CREATE FUNCTION windlass.apply(
    _clock bigint, _names text[], _which int[], _ids uuid[], _versions bigint[], _tokens bigint[],
    _run_out bool[], _plain smallint[], _to smallint[], _states smallint[], _results bytea[],
    _cancel bool[], _after bigint[], _at bigint[], _kept bool[], _course_set bool[],
    _courses bytea[], _payloads bytea[], _drop_expiry bool[], _stepped bool[], _step_of int[],
    _step_positions bigint[], _step_names text[], _step_outcomes bytea[]
) RETURNS SETOF windlass.answer LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    now bigint;
    answer windlass.answer;
    blank windlass.answer;
    queues int[];
    done bigint[];
    decide bigint[] := '{}';
    t record;
    h record;
    job windlass.jobs;
    holder windlass.dedup;
    from_state int;
    stand int;
    current_version bigint;
    started bigint;
    stopping bool;
    stepped bigint[];
BEGIN
    queues := windlass.queue_numbers(_names);
    now := windlass.clock(_clock);
    answer.facts := array[0, now];
    RETURN NEXT answer;

    -- Each lease is looked for by its key: whatever the statistics say, there is no
    -- better plan for one row of a unique key than its index. One that changes
    -- between the look and the deletion stands elsewhere then, and is left to the
    -- loop below.
    WITH found AS MATERIALIZED (
        SELECT u.at, u.go_to, u.state, u.result, l.*
        FROM unnest(_which, _ids, _versions, _tokens, _plain, _to, _states, _results)
            WITH ORDINALITY AS u(which, id, version, token, plain, go_to, state, result, at)
        CROSS JOIN LATERAL (
            SELECT k.ctid AS tid, k.queue, k.seq, k.version, k.started_at, k.partition
            FROM windlass.leases k
            WHERE k.queue = queues[coalesce(u.which, 1)] AND k.token = u.token AND k.id = u.id
                AND k.version = u.version
                -- A deduplication key, and jobs that depend on it, are told of the
                -- end; what else knows the job goes when the job goes.
                AND k.flags & CASE WHEN u.go_to = 3 THEN 2 + 16 + 32 + 64 + 128 ELSE 2 + 16 END = 0
            LIMIT 1
        ) AS l
        WHERE u.plain = 1
    ), held AS (
        DELETE FROM windlass.leases l USING found WHERE l.ctid = found.tid RETURNING found.*
    ), ended AS (
        INSERT INTO windlass.ended (queue, state, seq, moment, version, started_at, result)
        SELECT held.queue, held.state, held.seq, now, held.version + 1, held.started_at,
               held.result
        FROM held WHERE held.go_to = 2
    ), removed AS (
        DELETE FROM windlass.jobs WHERE ctid = ANY (ARRAY(
            SELECT old.tid FROM held CROSS JOIN LATERAL (
                SELECT k.ctid AS tid FROM windlass.jobs k
                WHERE k.queue = held.queue AND k.seq = held.seq LIMIT 1) AS old
            WHERE held.go_to = 3))
    ), told AS (
        INSERT INTO windlass.touched
        SELECT DISTINCT held.queue, held.partition FROM held WHERE held.partition IS NOT NULL
    ), noted AS (
        INSERT INTO windlass.journal
            (queue, txid, active, completed, failed, cancelled, expired)
        SELECT held.queue, pg_current_xact_id(), -count(*),
               count(*) FILTER (WHERE held.go_to = 2 AND held.state = 4),
               count(*) FILTER (WHERE held.go_to = 2 AND held.state = 5),
               count(*) FILTER (WHERE held.go_to = 2 AND held.state = 6),
               count(*) FILTER (WHERE held.go_to = 2 AND held.state = 7)
        FROM held GROUP BY held.queue
    )
    SELECT array_agg(held.at) INTO done FROM held;
    IF cardinality(done) = cardinality(_ids) THEN
        RETURN;
    END IF;

    FOR t IN
        SELECT u.*, queues[coalesce(u.which, 1)] AS queue, j.seq
        FROM unnest(_which, _ids, _versions, _tokens, _run_out, _to, _states, _results, _cancel,
                    _after, _at, _kept, _course_set, _courses, _payloads, _drop_expiry, _stepped)
            WITH ORDINALITY
            AS u(which, id, version, token, run_out, go_to, state, result, cancel, after, moment,
                 kept, course_set, course, payload, drop_expiry, stepped, at)
        LEFT JOIN LATERAL (
            SELECT k.seq, k.queue FROM windlass.jobs k WHERE k.id = u.id LIMIT 1
        ) AS j ON j.queue = queues[coalesce(u.which, 1)]
        WHERE done IS NULL OR u.at <> ALL (done)
        ORDER BY u.id, u.at
    LOOP
        answer := blank;
        IF t.run_out THEN
            -- Whoever takes over does not wait for one that is settling its job in a
            -- transaction of its own: that lease is found again by the next sweep.
            PERFORM 1 FROM windlass.leases l
            WHERE l.queue = t.queue AND l.token = t.token AND l.id = t.id
            FOR UPDATE SKIP LOCKED;
            IF NOT FOUND THEN
                SELECT s.*, NULL, NULL, array[1, t.at - 1, 2], NULL INTO answer
                FROM windlass.summaries s WHERE s.queue = t.queue AND s.seq = t.seq;
                IF NOT FOUND THEN
                    answer := blank;
                    answer.facts := array[1, t.at - 1, 1];
                END IF;
                RETURN NEXT answer;
                CONTINUE;
            END IF;
        END IF;
        -- Of a job that is not there, nothing is held.
        SELECT * INTO h FROM windlass.hold(t.queue, t.seq);
        IF h.stand = -1 THEN
            answer.facts := array[1, t.at - 1, 1];
            RETURN NEXT answer;
            CONTINUE;
        END IF;
        job := h.job;
        current_version := coalesce((h.lease).version, (h.ended).version, job.version);
        IF current_version <> t.version
            OR t.token IS NOT NULL AND (h.lease).token IS DISTINCT FROM t.token
            OR t.run_out AND (h.lease).until > now
        THEN
            SELECT s.*, NULL, NULL, array[1, t.at - 1, 2], NULL INTO answer
            FROM windlass.summaries s WHERE s.queue = t.queue AND s.seq = t.seq;
            RETURN NEXT answer;
            CONTINUE;
        END IF;
        started := CASE h.stand WHEN 3 THEN (h.lease).started_at ELSE
            CASE WHEN h.stand BETWEEN 4 AND 7 THEN (h.ended).started_at ELSE job.started_at END END;
        stopping := coalesce(job.cancel_requested, false)
            OR coalesce((h.lease).cancel_requested, false);

        IF t.go_to = 1 AND h.stand BETWEEN 4 AND 7 AND job.dedup_key IS NOT NULL THEN
            INSERT INTO windlass.dedup AS d (queue, dedup_key, job, live, held_until)
            VALUES (job.queue, job.dedup_key, job.id, true, job.dedup_held)
            ON CONFLICT (queue, dedup_key) DO UPDATE
            SET job = excluded.job, live = true, held_until = excluded.held_until
            WHERE d.job = excluded.job
                OR NOT d.live AND (d.held_until IS NULL OR d.held_until <= now);
            IF NOT FOUND THEN
                SELECT * INTO holder FROM windlass.dedup d
                WHERE d.queue = job.queue AND d.dedup_key = job.dedup_key;
                answer.facts := array[1, t.at - 1, 3];
                answer.dedup_key := job.dedup_key;
                answer.id := holder.job;
                RETURN NEXT answer;
                CONTINUE;
            END IF;
        END IF;

        -- What a decision can change wherever the job stands.
        IF t.course_set OR t.payload IS NOT NULL OR t.drop_expiry AND job.expires IS NOT NULL THEN
            IF t.drop_expiry AND job.expires IS NOT NULL AND job.started_at IS NULL
                AND h.stand IN (0, 1, 2, 8, 9)
            THEN
                DELETE FROM windlass.expiring e
                WHERE e.queue = job.queue AND e.moment = job.expires AND e.seq = job.seq;
            END IF;
            IF t.course_set THEN
                job.course := t.course;
            END IF;
            job.payload := coalesce(t.payload, job.payload);
            IF t.drop_expiry THEN
                job.expires := NULL;
            END IF;
            UPDATE windlass.jobs j
            SET course = job.course, expires = job.expires,
                payload = CASE WHEN t.payload IS NULL THEN j.payload ELSE t.payload END
            WHERE j.queue = job.queue AND j.seq = job.seq;
        END IF;

        IF t.stepped AND t.go_to <> 3 THEN
            stepped[t.at] := job.seq;
            IF job.flags & 32 = 0 THEN
                job.flags := job.flags | 32;
                UPDATE windlass.jobs j SET flags = job.flags
                WHERE j.queue = job.queue AND j.seq = job.seq;
                IF h.stand = 3 AND t.go_to = 0 THEN
                    UPDATE windlass.leases l SET flags = l.flags | 32 WHERE l.seq = job.seq;
                END IF;
            END IF;
        END IF;

        CASE t.go_to
        WHEN 0 THEN
            IF t.cancel AND h.stand = 3 THEN
                -- The lease's row tells its holder, the job's whoever looks later.
                UPDATE windlass.leases l SET cancel_requested = true
                WHERE l.seq = job.seq;
                UPDATE windlass.jobs j SET cancel_requested = true
                WHERE j.queue = job.queue AND j.seq = job.seq;
            END IF;
            PERFORM windlass.raise_version(job, h.stand, 0);
            IF h.stand <> 3 AND job.partition IS NOT NULL THEN
                INSERT INTO windlass.touched VALUES (job.queue, job.partition);
            END IF;
        WHEN 1 THEN
            PERFORM windlass.leave(job, h.stand, (h.lease).token);
            job.due := greatest(t.moment, windlass.later(now, t.after), now);
            job.sort := windlass.order_key(
                coalesce(job.aged_base, job.sort), job.aged_base IS NOT NULL,
                CASE WHEN t.kept THEN least(job.place, job.due) ELSE job.due END);
            job.place := CASE WHEN t.kept THEN least(job.place, job.due) ELSE job.due END;
            job.version := current_version + 1;
            job.started_at := started;
            job.lane := NULL;
            UPDATE windlass.jobs j
            SET sort = job.sort, place = job.place, due = job.due, version = job.version,
                started_at = job.started_at, lane = NULL, clear = NULL,
                cancel_requested = NULLIF(stopping AND h.stand NOT BETWEEN 4 AND 7, false)
            WHERE j.queue = job.queue AND j.seq = job.seq;
            stand := windlass.arrive(job, now);
            PERFORM windlass.note(job, h.stand, stand);
        WHEN 2 THEN
            PERFORM windlass.leave(job, h.stand, (h.lease).token);
            INSERT INTO windlass.ended (queue, state, seq, moment, version, started_at, result)
            VALUES (job.queue, t.state, job.seq, now, current_version + 1, started, t.result);
            IF h.stand = 0 OR stopping THEN
                UPDATE windlass.jobs j
                SET lane = NULL, clear = NULL, cancel_requested = NULLIF(stopping, false)
                WHERE j.queue = job.queue AND j.seq = job.seq;
            END IF;
            PERFORM windlass.note(job, h.stand, t.state);
            IF job.dedup_key IS NOT NULL AND h.stand NOT BETWEEN 4 AND 7 THEN
                PERFORM windlass.free_dedup(job, now);
            END IF;
            IF job.flags & 16 <> 0 THEN
                decide := decide || windlass.tell_dependents(job.seq, t.state = 4);
            END IF;
        WHEN 3 THEN
            IF job.flags & 16 <> 0 THEN
                -- Core does not remove what others wait for; should one have come
                -- in the meantime, it must not wait for ever.
                decide := decide || windlass.tell_dependents(job.seq, h.stand = 4);
            END IF;
            PERFORM windlass.forget(job, h.stand, (h.lease).token, now);
            stepped := array_replace(stepped, job.seq, NULL);
        END CASE;
    END LOOP;

    IF stepped IS NOT NULL THEN
        INSERT INTO windlass.steps (queue, seq, position, name, outcome)
        SELECT queues[coalesce(_which[s.of], 1)], stepped[s.of], s.position, s.name, s.outcome
        FROM unnest(_step_of, _step_positions, _step_names, _step_outcomes)
            AS s(of, position, name, outcome)
        WHERE stepped[s.of] IS NOT NULL
        ON CONFLICT DO NOTHING;
    END IF;
    IF cardinality(decide) > 0 THEN
        RETURN QUERY SELECT * FROM windlass.undecided(decide);
    END IF;
END
$$;

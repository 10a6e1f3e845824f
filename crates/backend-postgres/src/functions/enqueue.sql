-- In:  as enqueue_plain, and for each job its deduplication key with its hold and
--      its latest moment (both as lengths of time); the number of the last job before
--      it in the batch with the same id, and of that with the same key; what the jobs
--      depend on, each with the number of the job, and with that of the last job of
--      the batch that it may be; from which place on each job's own are in these
--      lists (and behind the last job, where they end); their parents, as the
--      dependencies; whether keys may be locked ahead.
-- Out: a row with facts = [0, now]; one with [1, job, what] for each job that is
--      not stored: what 4, it exists; 5, its deduplication key is taken by the job
--      of the row; 6, it is held until the row's moment by the job with the row's
--      id; one with [3] for each job about which core has to decide.
--      Or one with [2, job, why, which], and nothing has changed: why 1, there is
--      no such queue; 2, that dependency does not exist; 3, the parent's lease is
--      not the current one; 4, the id is taken in another queue.
-- Why: jobs that ask about others, one by one: each may change what the next one
--      finds. All is checked before anything is written. What a batch has of its own
--      is found by its number: 10,000 jobs that depend on one another are as many
--      steps, and not as many times as many.
CREATE FUNCTION windlass.enqueue(
    _clock bigint, _names text[], _which int[], _ids uuid[], _types text[], _payloads bytea[],
    _options bytea[], _bases bigint[], _aged bool[], _after bigint[], _at bigint[], _flags int[],
    _partitions text[], _expire_after bigint[], _expire_at bigint[], _rare text[],
    _label_of int[], _label_kinds smallint[], _labels text[],
    _keys text[], _holds bigint[], _latest bigint[], _twin int[], _key_twin int[],
    _needer int[], _needed_in text[], _needed uuid[], _inside int[],
    _needs_from int[], _child int[], _parent_in text[], _parent uuid[], _parent_token bigint[], _lock_ahead bool
) RETURNS SETOF windlass.answer LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    now bigint;
    answer windlass.answer;
    blank windlass.answer;
    queues int[];
    n record;
    d record;
    held record;
    job windlass.jobs;
    other int;
    holder windlass.dedup;
    twin int;
    -- By number: whether a job is new, its seq once it is stored, and of each
    -- dependency which job of the batch it is.
    fresh bool[] := array_fill(false, array[cardinality(_ids)]);
    seqs bigint[] := array_fill(NULL::bigint, array[cardinality(_ids)]);
    within int[] := array_fill(NULL::int, array[cardinality(_needed)]);
    -- By number: whether it depends on a job of before.
    outside bool[] := array_fill(false, array[cardinality(_ids)]);
    waiting_seqs bigint[] := '{}';
    stand int;
    open_count int;
    broken_count int;
    is_open bool;
    has_needs bool;
    held_until bigint;
BEGIN
    queues := windlass.queue_numbers(_names);
    IF array_position(queues, NULL) IS NOT NULL THEN
        SELECT array[2, i - 1, 1] INTO answer.facts FROM generate_subscripts(_ids, 1) AS i
        WHERE queues[coalesce(_which[i], 1)] IS NULL ORDER BY i LIMIT 1;
        RETURN NEXT answer;
        RETURN;
    END IF;
    -- Whoever comes with the same keys in another order waits here, and not
    -- crosswise. A few hundred locks stand for all keys.
    IF _lock_ahead THEN
        PERFORM pg_advisory_xact_lock(('windlass.dedup'::regclass::oid::bigint << 32) + k.slot)
        FROM (SELECT DISTINCT hashtext(coalesce(key, id::text)) & 511 AS slot
              FROM unnest(_keys, _ids) AS u(key, id) WHERE key IS NOT NULL OR _rare IS NOT NULL
              ORDER BY 1) AS k;
    END IF;
    now := windlass.clock(_clock);

    -- Which of them will be stored, and whether these may be.
    FOR n IN
        SELECT u.at, u.id, u.key, u.twin, u.key_twin,
               queues[coalesce(_which[u.at], 1)] AS queue
        FROM unnest(_ids, _keys, _twin, _key_twin)
            WITH ORDINALITY AS u(id, key, twin, key_twin, at) ORDER BY u.at
    LOOP
        SELECT j.queue INTO other FROM windlass.jobs j WHERE j.id = n.id;
        twin := n.twin;
        WHILE other IS NULL AND twin IS NOT NULL LOOP
            IF fresh[twin] THEN
                other := queues[coalesce(_which[twin], 1)];
            END IF;
            twin := _twin[twin];
        END LOOP;
        IF other IS NOT NULL THEN
            IF other <> n.queue THEN
                answer.facts := array[2, n.at - 1, 4];
                RETURN NEXT answer;
                RETURN;
            END IF;
            CONTINUE;
        END IF;
        IF n.key IS NOT NULL THEN
            twin := n.key_twin;
            WHILE twin IS NOT NULL AND NOT fresh[twin] LOOP
                twin := _key_twin[twin];
            END LOOP;
            -- The next one with this key need not go so far back.
            _key_twin[n.at] := twin;
            CONTINUE WHEN twin IS NOT NULL;
            CONTINUE WHEN EXISTS (
                SELECT 1 FROM windlass.dedup t WHERE t.queue = n.queue AND t.dedup_key = n.key
                    AND (t.live OR t.held_until > now));
        END IF;
        fresh[n.at] := true;
    END LOOP;
    FOR n IN
        SELECT w.of, w.what, w.which, w.name, w.id, w.token, w.inside FROM (
            SELECT u.of, 0 AS what, u.at AS which, u.name, u.id, NULL::bigint AS token, u.inside
            FROM unnest(_needer, _needed_in, _needed, _inside)
                WITH ORDINALITY AS u(of, name, id, inside, at)
            UNION ALL
            SELECT u.of, 1, u.at, u.name, u.id, u.token, NULL
            FROM unnest(_child, _parent_in, _parent, _parent_token) WITH ORDINALITY
                AS u(of, name, id, token, at)
        ) AS w WHERE fresh[w.of] ORDER BY w.of, w.what, w.which
    LOOP
        IF n.what = 0 THEN
            twin := n.inside;
            WHILE twin IS NOT NULL AND NOT fresh[twin] LOOP
                twin := _twin[twin];
            END LOOP;
            within[n.which] := twin;
            CONTINUE WHEN twin IS NOT NULL;
            outside[n.of] := true;
            PERFORM 1 FROM windlass.queues q WHERE q.name = n.name AND
                EXISTS (SELECT 1 FROM windlass.jobs j WHERE j.id = n.id AND j.queue + 0 = q.id);
            IF NOT FOUND THEN
                answer.facts := array[2, n.of - 1, 2, n.which - 1];
                RETURN NEXT answer;
                RETURN;
            END IF;
        ELSE
            -- Held until the end: nobody takes the lease over meanwhile. It can be
            -- extended: a caller's own transaction may take its time.
            PERFORM 1 FROM windlass.queues q
            JOIN windlass.leases l ON l.queue = q.id AND l.token = n.token AND l.id = n.id
            WHERE q.name = n.name FOR KEY SHARE OF l;
            IF NOT FOUND THEN
                answer.facts := array[2, n.of - 1, 3, n.which - 1];
                RETURN NEXT answer;
                RETURN;
            END IF;
        END IF;
    END LOOP;

    answer.facts := array[0, now];
    RETURN NEXT answer;
    FOR n IN
        SELECT u.*, queues[coalesce(u.which, 1)] AS queue
        FROM unnest(_which, _flags, _ids, _types, _payloads, _options, _bases, _aged, _after, _at,
                    _partitions, _expire_after, _expire_at, _rare, _keys, _holds, _latest)
            WITH ORDINALITY
            AS u(which, flags, id, job_type, payload, options, base, aged, after, moment, partition,
                 expire_after, expire_at, rare, key, hold, latest, at)
        ORDER BY u.at
    LOOP
        answer := blank;
        answer.facts := array[1, n.at - 1, 4];
        IF NOT fresh[n.at] THEN
            PERFORM 1 FROM windlass.jobs j WHERE j.id = n.id;
            IF FOUND THEN
                RETURN NEXT answer;
                CONTINUE;
            END IF;
        END IF;
        held_until := windlass.later(now, n.hold);
        IF n.key IS NOT NULL THEN
            INSERT INTO windlass.dedup AS t (queue, dedup_key, job, live, held_until)
            VALUES (n.queue, n.key, n.id, true, held_until)
            ON CONFLICT (queue, dedup_key) DO UPDATE
            SET job = excluded.job, live = true, held_until = excluded.held_until
            WHERE NOT t.live AND (t.held_until IS NULL OR t.held_until <= now);
            IF NOT FOUND THEN
                IF fresh[n.at] AND n.at = ANY (within) THEN
                    RAISE EXCEPTION 'a dependency is somebody else''s by now' USING ERRCODE = '40001';
                END IF;
                SELECT * INTO holder FROM windlass.dedup t
                WHERE t.queue = n.queue AND t.dedup_key = n.key;
                IF holder.live THEN
                    SELECT s.*, NULL, NULL, array[1, n.at - 1, 5], NULL INTO answer
                    FROM windlass.jobs j
                    JOIN windlass.summaries s ON s.queue = j.queue AND s.seq = j.seq
                    WHERE j.id = holder.job;
                    IF NOT FOUND THEN
                        RAISE EXCEPTION 'a deduplication key changed hands' USING ERRCODE = '40001';
                    END IF;
                ELSE
                    answer.facts := array[1, n.at - 1, 6];
                    answer.id := holder.job;
                    answer.moment := holder.held_until;
                END IF;
                RETURN NEXT answer;
                CONTINUE;
            END IF;
        END IF;
        IF NOT fresh[n.at]
            AND (_needs_from[n.at + 1] > _needs_from[n.at] OR n.at = ANY (_child))
        THEN
            -- It was not to be stored when its dependencies and its parent were looked at.
            RAISE EXCEPTION 'a deduplication key came free' USING ERRCODE = '40001';
        END IF;
        -- Whoever had the key may have ended while this waited for it: by the store's
        -- time, too, this job comes after that.
        now := greatest(now, windlass.clock(_clock));
        IF held_until <> windlass.later(now, n.hold) THEN
            held_until := windlass.later(now, n.hold);
            UPDATE windlass.dedup t SET held_until = windlass.later(now, n.hold)
            WHERE t.queue = n.queue AND t.dedup_key = n.key;
        END IF;
        open_count := 0;
        broken_count := 0;
        has_needs := coalesce(_needs_from[n.at + 1] > _needs_from[n.at], false);
        IF has_needs THEN
            open_count := _needs_from[n.at + 1] - _needs_from[n.at];
        END IF;
        -- Those of this batch are nobody else's yet, and have not ended.
        IF outside[n.at] THEN
            open_count := 0;
            -- In the order in which everybody holds several jobs.
            FOR d IN
                SELECT i, j.queue, j.seq
                FROM generate_series(_needs_from[n.at], _needs_from[n.at + 1] - 1) AS i
                LEFT JOIN windlass.jobs j ON within[i] IS NULL AND j.id = _needed[i]
                ORDER BY j.seq
            LOOP
                IF within[d.i] IS NOT NULL THEN
                    open_count := open_count + 1;
                ELSIF d.seq IS NULL THEN
                    RAISE EXCEPTION 'a dependency has gone' USING ERRCODE = '40001';
                ELSE
                    SELECT h.stand INTO stand FROM windlass.hold(d.queue, d.seq) AS h;
                    IF stand = -1 THEN
                        RAISE EXCEPTION 'a dependency has gone' USING ERRCODE = '40001';
                    END IF;
                    open_count := open_count + (stand NOT BETWEEN 4 AND 7)::int;
                    broken_count := broken_count + (stand BETWEEN 5 AND 7)::int;
                END IF;
            END LOOP;
        END IF;
        job := NULL;
        job.queue := n.queue;
        job.flags := coalesce(n.flags, 0);
        job.seq := nextval('windlass.job_seq');
        job.id := n.id;
        job.due := greatest(n.moment, windlass.later(now, n.after), now);
        job.place := job.due;
        job.sort := windlass.order_key(n.base, n.aged, job.due);
        job.aged_base := CASE WHEN n.aged THEN n.base END;
        job.enqueued_at := now;
        job.version := 1;
        job.job_type := n.job_type;
        job.payload := n.payload;
        job.options := n.options;
        job.expires := CASE WHEN n.expire_at IS NOT NULL OR n.expire_after IS NOT NULL THEN
                           greatest(n.expire_at, windlass.later(now, n.expire_after), now) END;
        job.partition := n.partition;
        job.dedup_key := n.key;
        job.dedup_held := held_until;
        job.dedup_latest := windlass.later(now, n.latest);
        job.rare := n.rare;
        IF has_needs THEN
            job.lane := 0;
            job.open := open_count;
            job.broken := broken_count;
            job.clear := open_count = 0 OR broken_count > 0;
        END IF;
        INSERT INTO windlass.jobs SELECT job.* ON CONFLICT (id) DO NOTHING;
        IF NOT FOUND THEN
            -- Somebody has stored it since it was looked for.
            RAISE EXCEPTION 'a job was stored meanwhile' USING ERRCODE = '40001';
        END IF;
        IF job.lane = 0 THEN
            stand := 0;
            waiting_seqs := waiting_seqs || job.seq;
            IF job.expires IS NOT NULL THEN
                INSERT INTO windlass.expiring VALUES (job.queue, job.expires, job.seq);
            END IF;
        ELSE
            stand := windlass.arrive(job, now);
        END IF;
        PERFORM windlass.note(job, NULL, stand);
        seqs[n.at] := job.seq;
    END LOOP;

    INSERT INTO windlass.labels
    SELECT l.kind, l.label, seqs[l.of], queues[coalesce(_which[l.of], 1)]
    FROM unnest(_label_of, _label_kinds, _labels) AS l(of, kind, label)
    WHERE seqs[l.of] IS NOT NULL;
    -- Both sides of what depends on what, now that all of it is stored: first within the
    -- batch, then with jobs of before.
    INSERT INTO windlass.dependencies
    SELECT seqs[u.of], queues[coalesce(_which[u.of], 1)], u.at - _needs_from[u.of],
           queues[coalesce(_which[within[u.at]], 1)], seqs[within[u.at]], u.id, true
    FROM unnest(_needer, _needed) WITH ORDINALITY AS u(of, id, at)
    WHERE seqs[u.of] IS NOT NULL AND within[u.at] IS NOT NULL;
    UPDATE windlass.jobs j SET flags = j.flags | 16, version = j.version + 1
    FROM (SELECT DISTINCT within[u.at] AS of
          FROM unnest(_needer) WITH ORDINALITY AS u(of, at)
          WHERE seqs[u.of] IS NOT NULL AND within[u.at] IS NOT NULL) AS needed
    WHERE j.queue = queues[coalesce(_which[needed.of], 1)] AND j.seq = seqs[needed.of];
    FOR d IN
        SELECT u.of, u.at, u.id, j.queue, j.seq
        FROM unnest(_needer, _needed) WITH ORDINALITY AS u(of, id, at)
        JOIN windlass.jobs j ON j.id = u.id
        WHERE seqs[u.of] IS NOT NULL AND within[u.at] IS NULL ORDER BY j.seq, u.at
    LOOP
        SELECT * INTO held FROM windlass.hold(d.queue, d.seq);
        is_open := held.stand NOT BETWEEN 4 AND 7;
        INSERT INTO windlass.dependencies
        VALUES (seqs[d.of], queues[coalesce(_which[d.of], 1)], d.at - _needs_from[d.of],
                d.queue, d.seq, d.id, is_open);
        IF (held.job).flags & 16 = 0 THEN
            -- A decision that was made before somebody depended on the job must
            -- turn out stale.
            PERFORM windlass.raise_version(held.job, held.stand, 16);
        END IF;
    END LOOP;
    RETURN QUERY SELECT * FROM windlass.undecided(waiting_seqs);
END
$$;

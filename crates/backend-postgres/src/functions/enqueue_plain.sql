-- In:  a manual clock's moment or NULL; names of queues, and for each job which of
--      them it goes to (NULL: all to the first) and which turn it has in the order
--      of the batch (NULL: as they come); the fields of the jobs; the
--      labels of all jobs, each with the number of its job; whether to tidy up. An
--      array that is NULL stands for one of NULLs.
-- Out: a row with facts = [0, now] and one with facts = [1, job, 4] for each job
--      that exists; or one with facts = [2, job, why], and nothing has changed:
--      why 1, there is no such queue.
-- Why: jobs that ask about no other job: one statement stores them all. Where ids
--      derive from names, jobs come in the order of the ids, so that two batches
--      with the same names do not wait for each other crosswise. What is
--      neither stored nor there in its own queue has the id of somebody else's
--      job: that undoes all (WLIDT).
CREATE FUNCTION windlass.enqueue_plain(
    _clock bigint, _names text[], _which int[], _turns int[], _ids uuid[], _types text[],
    _payloads bytea[], _options bytea[], _bases bigint[], _aged bool[], _after bigint[],
    _at bigint[], _flags int[], _partitions text[], _expire_after bigint[], _expire_at bigint[],
    _rare text[], _label_of int[], _label_kinds smallint[], _labels text[], _keep_house bool
) RETURNS SETOF windlass.answer LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    now bigint := windlass.clock(_clock);
    answer windlass.answer;
    queues int[];
    stored bigint[];
    stored_in int[];
    all_stored bool;
    bits int;
    seqs bigint[];
    missing record;
BEGIN
    IF _keep_house THEN
        PERFORM windlass.keep_house(q.id) FROM windlass.queues q WHERE q.name = ANY (_names);
    END IF;
    queues := windlass.queue_numbers(_names);
    IF array_position(queues, NULL) IS NOT NULL THEN
        SELECT array[2, min(coalesce(_turns[i], i)) - 1, 1] INTO answer.facts
        FROM generate_subscripts(_ids, 1) AS i WHERE queues[coalesce(_which[i], 1)] IS NULL;
        RETURN NEXT answer;
        RETURN;
    END IF;
    IF _turns IS NOT NULL THEN
        seqs := array(SELECT nextval('windlass.job_seq') FROM generate_subscripts(_ids, 1));
    END IF;
    WITH put AS (
        INSERT INTO windlass.jobs
            (queue, flags, seq, id, sort, place, due, enqueued_at, job_type, payload, options,
             expires, partition, aged_base, rare)
        SELECT n.queue, n.flags, n.seq, n.id, windlass.order_key(n.base, n.aged, n.due), n.due,
               n.due, now, n.job_type, n.payload, n.options, n.expires, n.partition,
               CASE WHEN n.aged THEN n.base END, n.rare
        FROM (
            SELECT queues[coalesce(u.which, 1)] AS queue, coalesce(u.flags, 0) AS flags,
                   coalesce(seqs[u.turn], nextval('windlass.job_seq')) AS seq, u.id, u.base, u.aged,
                   greatest(u.at, windlass.later(now, u.after), now) AS due, u.job_type,
                   u.payload, u.options,
                   CASE WHEN u.expire_at IS NOT NULL OR u.expire_after IS NOT NULL THEN
                       greatest(u.expire_at, windlass.later(now, u.expire_after), now) END
                       AS expires,
                   u.partition, u.rare
            FROM unnest(_turns, _which, _flags, _ids, _types, _payloads, _options, _bases, _aged,
                        _after, _at, _partitions, _expire_after, _expire_at, _rare)
                AS u(turn, which, flags, id, job_type, payload, options, base, aged, after, at,
                     partition, expire_after, expire_at, rare)
        ) AS n
        ON CONFLICT (id) DO NOTHING
        RETURNING queue, seq, sort, place, due, partition, flags
    ), ready AS (
        INSERT INTO windlass.ready
        SELECT put.queue, put.sort, put.place, put.seq FROM put
        WHERE put.due <= now AND put.partition IS NULL
    ), scheduled AS (
        INSERT INTO windlass.scheduled
        SELECT put.queue, put.due, put.seq FROM put WHERE put.due > now
    ), journal AS (
        INSERT INTO windlass.journal (queue, txid, scheduled, waiting, sort, place, due)
        SELECT put.queue, pg_current_xact_id(), count(*) FILTER (WHERE put.due > now),
               count(*) FILTER (WHERE put.due <= now),
               put.sort, min(put.place) FILTER (WHERE put.due <= now),
               min(put.due) FILTER (WHERE put.due > now)
        FROM put GROUP BY put.queue, put.sort
    )
    SELECT array_agg(put.seq), array_agg(put.queue), coalesce(bit_or(put.flags), 0)
    INTO stored, stored_in, bits FROM put;
    answer.facts := array[0, now];
    RETURN NEXT answer;
    all_stored := coalesce(cardinality(stored), 0) = cardinality(_ids);
    IF bits & 1 <> 0 THEN
        WITH put AS (
            INSERT INTO windlass.lines (queue, partition, sort, place, seq, due)
            SELECT j.queue, j.partition, j.sort, j.place, j.seq, j.due
            FROM unnest(stored_in, stored) AS s(queue, seq)
            CROSS JOIN LATERAL (
                SELECT one.* FROM windlass.jobs one
                WHERE one.queue = s.queue AND one.seq = s.seq LIMIT 1) AS j
            WHERE j.partition IS NOT NULL AND j.due <= now
            RETURNING queue, partition
        )
        INSERT INTO windlass.touched SELECT DISTINCT put.queue, put.partition FROM put;
    END IF;
    IF bits & 8 <> 0 THEN
        INSERT INTO windlass.aged
        SELECT j.queue, j.place, j.seq
        FROM unnest(stored_in, stored) AS s(queue, seq)
        CROSS JOIN LATERAL (
            SELECT one.* FROM windlass.jobs one
            WHERE one.queue = s.queue AND one.seq = s.seq LIMIT 1) AS j
        WHERE j.flags & 8 <> 0 AND j.due <= now AND j.partition IS NULL;
    END IF;
    IF bits & 4 <> 0 THEN
        INSERT INTO windlass.expiring
        SELECT j.queue, j.expires, j.seq
        FROM unnest(stored_in, stored) AS s(queue, seq)
        CROSS JOIN LATERAL (
            SELECT one.* FROM windlass.jobs one
            WHERE one.queue = s.queue AND one.seq = s.seq LIMIT 1) AS j
        WHERE j.expires IS NOT NULL;
    END IF;
    IF bits & 128 <> 0 THEN
        INSERT INTO windlass.labels
        SELECT l.kind, l.label, j.seq, j.queue
        FROM unnest(_label_of, _label_kinds, _labels) AS l(of, kind, label)
        CROSS JOIN LATERAL (SELECT k.* FROM windlass.jobs k WHERE k.id = _ids[l.of] LIMIT 1) AS j
        -- A job that exists keeps its labels; of two with one id in the batch,
        -- the first is stored.
        WHERE all_stored
            OR j.seq = ANY (stored) AND array_position(_ids, j.id) = l.of;
    END IF;
    IF NOT all_stored THEN
        FOR missing IN
            SELECT coalesce(_turns[i.at], i.at) AS turn, j.queue, queues[coalesce(_which[i.at], 1)] AS wanted,
                   j.seq = ANY (stored) AND i.at = array_position(_ids, i.id) AS is_new
            FROM unnest(_ids) WITH ORDINALITY AS i(id, at)
            LEFT JOIN LATERAL (
                SELECT k.* FROM windlass.jobs k WHERE k.id = i.id LIMIT 1) AS j ON true
            ORDER BY 1
        LOOP
            -- Who had the id when it was to be stored has been removed since.
            IF missing.queue IS NULL THEN
                RAISE EXCEPTION 'a job has gone meanwhile' USING ERRCODE = '40001';
            END IF;
            IF missing.queue <> missing.wanted THEN
                RAISE EXCEPTION '%', missing.turn - 1 USING ERRCODE = 'WLIDT';
            END IF;
            IF missing.is_new IS NOT TRUE THEN
                answer.facts := array[1, missing.turn - 1, 4];
                RETURN NEXT answer;
            END IF;
        END LOOP;
    END IF;
END
$$;

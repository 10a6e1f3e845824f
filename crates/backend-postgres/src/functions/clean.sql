-- In:  a manual clock's moment or NULL, a queue's name, a state, how long ago
--      (or NULL) or beyond how many of the newest (or NULL), how many at most.
-- Out: nothing if there is no such queue; a row with NULL, then the ids of the jobs
--      that are gone.
-- Why: jobs that ended and on which nothing hangs go together; others one by one.
--      One that a job still needs is passed over, and so is one that somebody else
--      is changing at this moment.
CREATE FUNCTION windlass.clean(
    _clock bigint, _name text, _state int, _age bigint, _newest bigint, _limit bigint
) RETURNS SETOF uuid LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    now bigint := windlass.clock(_clock);
    q windlass.queues;
    k record;
    h record;
    d record;
    cutoff bigint;
    reach bigint := 9223372036854775807;
    removed bigint := 0;
    uncounted bigint := 0;
    page record;
    last_moment bigint := -9223372036854775808;
    last_seq bigint := -1;
BEGIN
    SELECT * INTO q FROM windlass.queues WHERE name = _name;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN NEXT NULL;
    DELETE FROM windlass.dedup t WHERE t.ctid = ANY (ARRAY(
        SELECT old.ctid FROM windlass.dedup old
        WHERE old.queue = q.id AND NOT old.live AND old.held_until <= now
        LIMIT 1000 FOR UPDATE SKIP LOCKED));
    -- How many of the newest are left must not be counted by two at once: each would pass
    -- over what the other removes, and remove as many.
    IF _state >= 4 THEN
        PERFORM pg_advisory_xact_lock(windlass.cleaning_lock_of(q.id));
    END IF;
    SELECT * INTO k FROM windlass.look(q.id);
    IF k.due <= now AND _state < 3 THEN
        PERFORM windlass.release(q.id, now, k.due);
        SELECT * INTO k FROM windlass.look(q.id);
    END IF;
    cutoff := CASE WHEN _age IS NULL THEN 9223372036854775807
                   ELSE now - least(_age, 9223372036854775807 + least(now, 0)) END;
    IF _newest IS NOT NULL THEN
        reach := k.jobs[_state + 1] - _newest;
    END IF;

    IF _state >= 4 THEN
        WHILE removed < _limit AND reach > 0 LOOP
            SELECT array_agg(e.seq ORDER BY e.moment, e.seq) AS seqs,
                   array_agg(e.moment ORDER BY e.moment, e.seq) AS moments,
                   count(*) AS jobs
            INTO page FROM (
                SELECT f.seq, f.moment FROM windlass.ended f
                WHERE f.queue = q.id AND f.state = _state AND f.moment <= cutoff
                    AND (f.moment, f.seq + 0) > (last_moment, last_seq)
                ORDER BY f.moment, f.seq + 0
                LIMIT least(reach, 500) FOR UPDATE SKIP LOCKED
            ) AS e;
            EXIT WHEN page.jobs = 0;
            last_moment := page.moments[page.jobs];
            last_seq := page.seqs[page.jobs];
            reach := reach - page.jobs;
            FOR d IN
                SELECT s.seq, j.id, j.flags & (2 + 16 + 32 + 64 + 128) = 0 AS plain
                FROM unnest(page.seqs) WITH ORDINALITY AS s(seq, at)
                JOIN windlass.jobs j ON j.queue = q.id AND j.seq = s.seq ORDER BY s.at
            LOOP
                EXIT WHEN removed = _limit;
                CONTINUE WHEN NOT d.plain AND windlass.is_needed(d.seq);
                IF d.plain THEN
                    DELETE FROM windlass.ended e WHERE e.seq = d.seq;
                    DELETE FROM windlass.jobs j WHERE j.queue = q.id AND j.seq = d.seq;
                    uncounted := uncounted + 1;
                ELSE
                    SELECT * INTO h FROM windlass.hold(q.id, d.seq);
                    CONTINUE WHEN h.stand <> _state;
                    PERFORM windlass.forget(h.job, h.stand, NULL, now);
                END IF;
                removed := removed + 1;
                RETURN NEXT d.id;
            END LOOP;
        END LOOP;
        IF uncounted > 0 THEN
            INSERT INTO windlass.journal (queue, txid, completed, failed, cancelled, expired)
            VALUES (q.id, pg_current_xact_id(), -uncounted * (_state = 4)::int,
                    -uncounted * (_state = 5)::int, -uncounted * (_state = 6)::int,
                    -uncounted * (_state = 7)::int);
        END IF;
        RETURN;
    END IF;

    FOR d IN
        SELECT p.seq, j.id FROM (
            SELECT s.seq FROM windlass.scheduled s WHERE s.queue = q.id AND _state = 1
            UNION ALL SELECT r.seq FROM windlass.ready r WHERE r.queue = q.id AND _state = 2
            UNION ALL SELECT l.seq FROM windlass.lines l
            WHERE l.queue = q.id AND l.due <= now AND _state = 2
            UNION ALL SELECT x.seq FROM windlass.parked x WHERE x.queue = q.id AND _state = 2
        ) AS p JOIN windlass.jobs j ON j.queue = q.id AND j.seq = p.seq
        WHERE j.enqueued_at <= cutoff ORDER BY j.seq LIMIT greatest(reach, 0)
    LOOP
        EXIT WHEN removed = _limit;
        SELECT * INTO h FROM windlass.hold(q.id, d.seq);
        CONTINUE WHEN h.stand <> ALL (CASE _state WHEN 1 THEN array[1] ELSE array[2, 8, 9] END);
        -- Somebody may have come to depend on it since it was found: only of a job that
        -- is held nobody can.
        CONTINUE WHEN (h.job).flags & 16 <> 0 AND windlass.is_needed(d.seq);
        IF (h.job).flags & 16 <> 0 THEN
            -- Those that depend on it have ended: there is nothing to decide.
            PERFORM windlass.tell_dependents(d.seq, false);
        END IF;
        PERFORM windlass.forget(h.job, h.stand, NULL, now);
        removed := removed + 1;
        RETURN NEXT d.id;
    END LOOP;
END
$$;

-- In:  a job.
-- Out: whether a job that has not ended depends on it.
-- Why: such a job reads its result, so that it must not be cleaned.
CREATE FUNCTION windlass.is_needed(_seq bigint) RETURNS bool LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT 1 FROM windlass.dependencies d
        WHERE d.on_seq = _seq AND NOT EXISTS (
            SELECT 1 FROM windlass.ended e
            WHERE e.seq = d.dependent))
$$;

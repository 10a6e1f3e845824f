-- In:  a queue's name, a job, its token, a position, a name, an outcome.
-- Out: 0 if the lease is not the current one; 1 if the step is recorded; 2 with
--      what is recorded already.
-- Why: the lease is held until the step is written, so that nobody takes it over
--      in between.
CREATE FUNCTION windlass.record_step(
    _name text, _id uuid, _token bigint, _position bigint, _step text, _outcome bytea,
    OUT what int, OUT step text, OUT outcome bytea
) LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    l windlass.leases;
BEGIN
    what := 0;
    SELECT held.* INTO l FROM windlass.queues q
    JOIN windlass.leases held ON held.queue = q.id AND held.token = _token AND held.id = _id
    WHERE q.name = _name FOR UPDATE OF held;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    INSERT INTO windlass.steps VALUES (l.queue, l.seq, _position, _step, _outcome)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        what := 1;
        IF l.flags & 32 = 0 THEN
            UPDATE windlass.leases SET flags = flags | 32 WHERE seq = l.seq;
            UPDATE windlass.jobs SET flags = flags | 32 WHERE queue = l.queue AND seq = l.seq;
        END IF;
        RETURN;
    END IF;
    what := 2;
    SELECT s.name, s.outcome INTO step, outcome FROM windlass.steps s
    WHERE s.queue = l.queue AND s.seq = l.seq AND s.position = _position;
END
$$;

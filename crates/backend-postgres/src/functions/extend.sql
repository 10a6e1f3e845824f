-- In:  a manual clock's moment or NULL; for each lease its queue's name, the job,
--      the token, how long it is to last from now, and what the job tells of itself
--      or NULL.
-- Out: a row with number 0 and now; for each lease that is held its number, its new
--      end, and whether the job was asked to stop.
-- Why: one by one: a job may be named twice. The end of a lease is in no index, so
--      that the row is rewritten where it stands. A lease that somebody is changing
--      is left as it is: a handler that completes its job in a transaction of its
--      own may take its time to commit, and the other leases must not wait for it.
CREATE FUNCTION windlass.extend(
    _clock bigint, _names text[], _ids uuid[], _tokens bigint[], _lengths bigint[],
    _progress bytea[]
) RETURNS TABLE (number bigint, moment bigint, stop bool) LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    now bigint := windlass.clock(_clock);
    e record;
    l windlass.leases;
BEGIN
    number := 0;
    moment := now;
    RETURN NEXT;
    FOR e IN
        SELECT q.id AS queue, u.* FROM unnest(_names, _ids, _tokens, _lengths, _progress)
            WITH ORDINALITY AS u(name, id, token, length, progress, at)
        JOIN windlass.queues q ON q.name = u.name ORDER BY u.id, u.at
    LOOP
        PERFORM 1 FROM windlass.leases AS held
        WHERE held.queue = e.queue AND held.token = e.token AND held.id = e.id
        FOR NO KEY UPDATE SKIP LOCKED;
        IF FOUND THEN
            UPDATE windlass.leases AS held SET until = windlass.later(now, e.length)
            WHERE held.queue = e.queue AND held.token = e.token AND held.id = e.id
            RETURNING * INTO l;
            IF e.progress IS NOT NULL THEN
                UPDATE windlass.jobs j SET progress = e.progress
                WHERE j.queue = l.queue AND j.seq = l.seq;
            END IF;
        ELSE
            SELECT * INTO l FROM windlass.leases AS held
            WHERE held.queue = e.queue AND held.token = e.token AND held.id = e.id;
            CONTINUE WHEN NOT FOUND;
        END IF;
        number := e.at;
        moment := l.until;
        stop := l.cancel_requested;
        RETURN NEXT;
    END LOOP;
END
$$;

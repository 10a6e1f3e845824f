-- In:  a manual clock's moment or NULL, a queue's name.
-- Out: nothing if there is no such queue; now, whether it is paused, its
--      declaration, its jobs by state, the oldest place of a waiting one, and the
--      starts in the window of its rate.
-- Why: counts come from the checkpoint and the journal, whatever the number of
--      jobs. Jobs whose moment came since the last dequeue count where they were;
--      if there are very many, they are put in line first.
CREATE FUNCTION windlass.stats(
    _clock bigint, _name text, OUT now bigint, OUT paused bool, OUT spec text, OUT jobs bigint[],
    OUT oldest bigint, OUT starts bigint
) LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    q windlass.queues;
    k record;
    come bigint;
    first bigint;
BEGIN
    SELECT * INTO q FROM windlass.queues WHERE name = _name;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    now := windlass.clock(_clock);
    paused := q.paused;
    spec := q.spec;
    SELECT * INTO k FROM windlass.look(q.id);
    IF k.entries >= 1000 THEN
        PERFORM windlass.checkpoint(q.id, k.jobs, k.sorts, k.places, k.open_end, k.due, k.token,
                                    k.seen, k.base, k.base_txid);
    END IF;
    IF k.due <= now THEN
        SELECT count(*) INTO come FROM (
            SELECT 1 FROM windlass.scheduled s
            WHERE s.queue = q.id AND s.due >= k.due AND s.due <= now LIMIT 10000) AS counted;
        IF come = 10000 THEN
            PERFORM windlass.release(q.id, now, k.due);
            SELECT * INTO k FROM windlass.look(q.id);
        ELSE
            k.jobs[2] := k.jobs[2] - come;
            k.jobs[3] := k.jobs[3] + come;
            SELECT s.due INTO oldest FROM windlass.scheduled s
            WHERE s.queue = q.id AND s.due >= k.due AND s.due <= now
            ORDER BY s.queue, s.due LIMIT 1;
        END IF;
    END IF;
    jobs := k.jobs;
    IF q.aged AND NOT q.partitioned THEN
        SELECT a.place INTO first FROM windlass.aged a WHERE a.queue = q.id
        ORDER BY a.queue, a.place LIMIT 1;
        oldest := least(oldest, first);
    ELSE
        FOR i IN 1..cardinality(k.sorts) LOOP
            SELECT r.place INTO first FROM windlass.ready r
            WHERE r.queue = q.id AND r.sort = k.sorts[i] AND r.place >= k.places[i]
            ORDER BY r.queue, r.sort, r.place LIMIT 1;
            oldest := least(oldest, first);
        END LOOP;
    END IF;
    IF q.partitioned THEN
        SELECT l.place INTO first FROM windlass.lines l
        WHERE l.queue + 0 = q.id AND l.due <= now ORDER BY l.queue + 0, l.place + 0 LIMIT 1;
        oldest := least(oldest, first);
    END IF;
    SELECT min(p.place) INTO first FROM windlass.parked p WHERE p.queue = q.id;
    oldest := least(oldest, first);
    starts := 0;
    IF q.rate_limit IS NOT NULL THEN
        SELECT coalesce(sum(s.jobs), 0) INTO starts FROM windlass.starts s
        WHERE s.queue = q.id AND s.owner = '' AND s.moment > now - q.rate_period;
    END IF;
END
$$;

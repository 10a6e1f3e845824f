-- In:  a manual clock's moment or NULL, a queue's name, the place behind which to
--      begin, how many at most.
-- Out: nothing if there is no such queue; a row with facts = [now], then the jobs
--      whose leases have run out, by the end of the lease.
-- Why: goes through the leases of the queue, of which there are as many as workers
--      have in hand, from the first that is alive: once a sweep. Tidies up, too.
CREATE FUNCTION windlass.lost_leases(
    _clock bigint, _name text, _moment bigint, _seq bigint, _limit bigint
) RETURNS SETOF windlass.answer LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    now bigint := windlass.clock(_clock);
    answer windlass.answer;
    this int;
    k record;
BEGIN
    SELECT q.id INTO this FROM windlass.queues q WHERE q.name = _name;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    answer.facts := array[now];
    RETURN NEXT answer;
    SELECT * INTO k FROM windlass.look(this);
    IF k.entries >= 64 THEN
        PERFORM windlass.checkpoint(this, k.jobs, k.sorts, k.places, k.open_end, k.due, k.token,
                                    k.seen, k.base, k.base_txid);
    END IF;
    RETURN QUERY
    SELECT s.*, NULL::bytea, NULL::bytea, NULL::bigint[], NULL::text
    FROM (
        SELECT l.queue, l.seq, l.until FROM windlass.live_leases(this, k.token) AS l
        WHERE l.until <= now AND (l.until, l.seq) > (_moment, _seq)
        ORDER BY l.until, l.seq LIMIT _limit
    ) AS lost
    JOIN windlass.summaries s ON s.queue = lost.queue AND s.seq = lost.seq
    WHERE s.lane = 3
    ORDER BY lost.until, lost.seq;
END
$$;

-- In:  a queue.
-- Out: nothing; the journal says where the tables begin, by a look from the front.
-- Why: the checkpoints say so already, and nothing is known that could make them
--      wrong. Should something do so all the same, no job is hidden for longer
--      than it takes until the next such look. It walks past all that is dead, so
--      it is taken seldom, and beside the dequeues, not in one.
CREATE FUNCTION windlass.announce(_queue int) RETURNS void LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    -- One rank more than stand alone tells that there are more.
    INSERT INTO windlass.journal (queue, txid, sort, place)
    SELECT _queue, pg_current_xact_id(), r.sort, min(r.place) FROM windlass.ready r
    WHERE r.queue = _queue GROUP BY r.sort ORDER BY r.sort LIMIT 65;
    INSERT INTO windlass.journal (queue, txid, due, token)
    VALUES (_queue, pg_current_xact_id(),
            (SELECT s.due FROM windlass.scheduled s WHERE s.queue = _queue
             ORDER BY s.queue, s.due LIMIT 1),
            (SELECT l.token FROM windlass.leases l WHERE l.queue = _queue
             ORDER BY l.queue, l.token LIMIT 1));
END
$$;

-- In:  nothing.
-- Out: how many queues were counted anew.
-- Why: a database that was restored from a dump numbers its transactions anew, so
--      that checkpoints which speak of transactions that are still to come are
--      those of another life. One statement counts, and deletes what it saw of
--      the journal, so that nothing is counted twice or not at all.
CREATE FUNCTION windlass.mend() RETURNS int LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    q record;
    mended int := 0;
BEGIN
    FOR q IN
        SELECT id FROM windlass.queues WHERE NOT EXISTS (
            SELECT 1 FROM windlass.checkpoints c WHERE c.queue = id
                AND pg_snapshot_xmax(c.seen) <= pg_snapshot_xmax(pg_current_snapshot()))
        ORDER BY id
    LOOP
        PERFORM pg_advisory_xact_lock(windlass.lock_of(q.id) + 1);
        CONTINUE WHEN EXISTS (
            SELECT 1 FROM windlass.checkpoints c WHERE c.queue = q.id
                AND pg_snapshot_xmax(c.seen) <= pg_snapshot_xmax(pg_current_snapshot()));
        WITH seen_entries AS (
            DELETE FROM windlass.journal j WHERE j.queue = q.id
        ), seen_checkpoints AS (
            DELETE FROM windlass.checkpoints c WHERE c.queue = q.id
        ), ended AS (
            SELECT e.state, count(*) AS jobs FROM windlass.ended e
            WHERE e.queue = q.id GROUP BY e.state
        ), ranks AS (
            SELECT r.sort, min(r.place) AS place, count(*) AS jobs FROM windlass.ready r
            WHERE r.queue = q.id GROUP BY r.sort
        ), first AS (
            SELECT ranks.sort, ranks.place FROM ranks ORDER BY ranks.sort LIMIT 64
        )
        INSERT INTO windlass.checkpoints
        SELECT q.id, pg_current_xact_id(), pg_current_snapshot(),
               array[
                   (SELECT count(*) FROM windlass.jobs j WHERE j.queue = q.id AND j.lane = 0),
                   (SELECT count(*) FROM windlass.scheduled s WHERE s.queue = q.id),
                   coalesce((SELECT sum(ranks.jobs) FROM ranks), 0)
                   + (SELECT count(*) FROM windlass.parked p WHERE p.queue = q.id)
                   + (SELECT count(*) FROM windlass.lines l WHERE l.queue = q.id
                          AND NOT EXISTS (SELECT 1 FROM windlass.scheduled s
                                          WHERE s.queue = q.id AND s.due = l.due
                                              AND s.seq = l.seq)),
                   (SELECT count(*) FROM windlass.leases l WHERE l.queue = q.id),
                   coalesce((SELECT ended.jobs FROM ended WHERE ended.state = 4), 0),
                   coalesce((SELECT ended.jobs FROM ended WHERE ended.state = 5), 0),
                   coalesce((SELECT ended.jobs FROM ended WHERE ended.state = 6), 0),
                   coalesce((SELECT ended.jobs FROM ended WHERE ended.state = 7), 0)],
               coalesce((SELECT array_agg(first.sort ORDER BY first.sort) FROM first), '{}'),
               coalesce((SELECT array_agg(first.place ORDER BY first.sort) FROM first), '{}'),
               (SELECT count(*) > 64 FROM ranks),
               (SELECT min(s.due) FROM windlass.scheduled s WHERE s.queue = q.id),
               (SELECT min(l.token) FROM windlass.leases l WHERE l.queue = q.id);
        mended := mended + 1;
    END LOOP;
    RETURN mended;
END
$$;

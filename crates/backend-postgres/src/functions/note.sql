-- In:  a job, where it stood and where it stands now, as hold() and arrive() name
--      it; NULL for nowhere.
-- Out: nothing; the journal says so.
CREATE FUNCTION windlass.note(_job windlass.jobs, _from int, _to int) RETURNS void
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    was int := CASE _from WHEN 8 THEN 2 WHEN 9 THEN 2 ELSE _from END;
    is_now int := CASE _to WHEN 8 THEN 2 WHEN 9 THEN 2 ELSE _to END;
    change int[];
BEGIN
    change := array(SELECT (s IS NOT DISTINCT FROM is_now)::int - (s IS NOT DISTINCT FROM was)::int
                    FROM generate_series(0, 7) AS s);
    INSERT INTO windlass.journal
        (queue, txid, blocked, scheduled, waiting, active, completed, failed, cancelled, expired,
         sort, place, due)
    VALUES (_job.queue, pg_current_xact_id(), change[1], change[2], change[3], change[4],
            change[5], change[6], change[7], change[8],
            CASE WHEN _to = 2 THEN _job.sort END, CASE WHEN _to = 2 THEN _job.place END,
            CASE WHEN _to = 1 THEN _job.due END);
END
$$;

-- In:  a held job and where it stands.
-- Out: nothing; it stands nowhere.
CREATE FUNCTION windlass.leave(_job windlass.jobs, _stand int, _token bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    IF _job.partition IS NOT NULL THEN
        IF _stand IN (1, 8) THEN
            DELETE FROM windlass.lines l
            WHERE l.queue = _job.queue AND l.partition = _job.partition AND l.sort = _job.sort
                AND l.place = _job.place AND l.seq = _job.seq;
        END IF;
        INSERT INTO windlass.touched VALUES (_job.queue, _job.partition);
    END IF;
    CASE _stand
    WHEN 1 THEN
        DELETE FROM windlass.scheduled s
        WHERE s.queue = _job.queue AND s.due = _job.due AND s.seq = _job.seq;
    WHEN 2 THEN
        DELETE FROM windlass.ready r
        WHERE r.queue = _job.queue AND r.sort = _job.sort AND r.place = _job.place
            AND r.seq = _job.seq;
        IF _job.flags & 8 <> 0 THEN
            DELETE FROM windlass.aged a
            WHERE a.queue = _job.queue AND a.place = _job.place AND a.seq = _job.seq;
        END IF;
    WHEN 3 THEN
        DELETE FROM windlass.leases l
        WHERE l.queue = _job.queue AND l.token = _token AND l.id = _job.id;
    WHEN 9 THEN
        DELETE FROM windlass.parked p WHERE p.queue = _job.queue AND p.seq = _job.seq;
    WHEN 0, 8 THEN
        NULL;
    ELSE
        DELETE FROM windlass.ended e WHERE e.seq = _job.seq;
    END CASE;
    IF _job.expires IS NOT NULL AND _job.started_at IS NULL AND _stand IN (0, 1, 2, 8, 9) THEN
        DELETE FROM windlass.expiring e
        WHERE e.queue = _job.queue AND e.moment = _job.expires AND e.seq = _job.seq;
    END IF;
END
$$;

-- In:  a held job, where it stands, and what else knows it from now on.
-- Out: nothing.
-- Why: the version that counts is that of the row which says where it stands.
CREATE FUNCTION windlass.raise_version(_job windlass.jobs, _stand int, _flags int) RETURNS void
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    IF _stand = 3 THEN
        UPDATE windlass.leases l SET version = l.version + 1, flags = l.flags | _flags
        WHERE l.seq = _job.seq;
    ELSIF _stand BETWEEN 4 AND 7 THEN
        UPDATE windlass.ended e SET version = e.version + 1
        WHERE e.seq = _job.seq;
    END IF;
    UPDATE windlass.jobs j
    SET flags = j.flags | _flags,
        version = j.version + (_stand NOT BETWEEN 3 AND 7)::int
    WHERE j.queue = _job.queue AND j.seq = _job.seq
        AND (_stand NOT BETWEEN 3 AND 7 OR j.flags <> j.flags | _flags);
END
$$;

-- In:  a job that ends or goes, and now.
-- Out: nothing; its deduplication key is free, unless it is held.
CREATE FUNCTION windlass.free_dedup(_job windlass.jobs, _now bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    IF _job.dedup_held > _now THEN
        UPDATE windlass.dedup d SET live = false
        WHERE d.queue = _job.queue AND d.dedup_key = _job.dedup_key AND d.job = _job.id;
    ELSE
        DELETE FROM windlass.dedup d
        WHERE d.queue = _job.queue AND d.dedup_key = _job.dedup_key AND d.job = _job.id;
    END IF;
END
$$;

-- In:  a held job, where it stands, its lease's token, and now.
-- Out: nothing; the job is gone, with all that belongs to nobody else.
CREATE FUNCTION windlass.forget(
    _job windlass.jobs, _stand int, _token bigint, _now bigint
) RETURNS void LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM windlass.leave(_job, _stand, _token);
    IF _job.dedup_key IS NOT NULL THEN
        PERFORM windlass.free_dedup(_job, _now);
    END IF;
    IF _job.flags & 128 <> 0 THEN
        DELETE FROM windlass.labels l WHERE l.seq + 0 = _job.seq;
    END IF;
    IF _job.flags & 32 <> 0 THEN
        DELETE FROM windlass.steps s WHERE s.queue = _job.queue AND s.seq = _job.seq;
    END IF;
    IF _job.flags & 64 <> 0 THEN
        DELETE FROM windlass.dependencies d WHERE d.dependent = _job.seq;
    END IF;
    DELETE FROM windlass.jobs j WHERE j.queue = _job.queue AND j.seq = _job.seq;
    PERFORM windlass.note(_job, _stand, NULL);
END
$$;

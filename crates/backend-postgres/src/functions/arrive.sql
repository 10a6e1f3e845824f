-- In:  a job that stands nowhere, as it is now, and now.
-- Out: where it stands: 1 scheduled, 2 ready, 8 in line.
-- Why: a job whose place has come before its moment was put off and keeps its
--      place: in a partition it stays in line.
CREATE FUNCTION windlass.arrive(_job windlass.jobs, _now bigint) RETURNS int
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    IF _job.partition IS NOT NULL THEN
        IF _job.due <= _now OR _job.place <= _now THEN
            INSERT INTO windlass.lines (queue, partition, sort, place, seq, due)
            VALUES (_job.queue, _job.partition, _job.sort, _job.place, _job.seq, _job.due);
        END IF;
        INSERT INTO windlass.touched VALUES (_job.queue, _job.partition);
    END IF;
    IF _job.expires IS NOT NULL AND _job.started_at IS NULL THEN
        INSERT INTO windlass.expiring VALUES (_job.queue, _job.expires, _job.seq);
    END IF;
    IF _job.due > _now THEN
        INSERT INTO windlass.scheduled VALUES (_job.queue, _job.due, _job.seq);
        RETURN 1;
    END IF;
    IF _job.partition IS NOT NULL THEN
        RETURN 8;
    END IF;
    INSERT INTO windlass.ready VALUES (_job.queue, _job.sort, _job.place, _job.seq);
    IF _job.flags & 8 <> 0 THEN
        INSERT INTO windlass.aged VALUES (_job.queue, _job.place, _job.seq);
    END IF;
    RETURN 2;
END
$$;

-- In:  a job.
-- Out: the job's row, and where it stands: 0 blocked, 1 scheduled, 2 ready,
--      3 leased, 4 to 7 ended, 8 in line, 9 parked, -1 if there is no such job.
--      lease and ended: those rows, if it stands there. in_line: whether its
--      partition's line has it.
-- Why: after this, nobody else changes the job or moves it until the
--      transaction ends. The row that says where it stands is locked first and
--      the job's own after it, as everybody does who needs both; a plain start
--      and a plain end need the first only. If the job moves meanwhile, it is
--      looked for again.
CREATE FUNCTION windlass.hold(
    _queue int, _seq bigint, OUT stand int, OUT job windlass.jobs, OUT lease windlass.leases,
    OUT ended windlass.ended, OUT in_line bool
) LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    was windlass.jobs;
    found_line bool;
BEGIN
    FOR round IN 1..1000 LOOP
        lease := NULL;
        ended := NULL;
        in_line := false;
        stand := NULL;
        SELECT * INTO was FROM windlass.jobs WHERE queue = _queue AND seq = _seq;
        IF NOT FOUND THEN
            stand := -1;
            RETURN;
        END IF;
        IF was.lane = 0 THEN
            stand := 0;
        ELSE
            SELECT * INTO lease FROM windlass.leases WHERE seq = _seq FOR UPDATE;
            IF FOUND THEN
                stand := 3;
            ELSE
                SELECT * INTO ended FROM windlass.ended WHERE seq = _seq FOR UPDATE;
                IF FOUND THEN
                    stand := ended.state;
                ELSE
                    PERFORM 1 FROM windlass.ready
                    WHERE queue = _queue AND sort = was.sort AND place = was.place AND seq = _seq
                    FOR UPDATE;
                    IF FOUND THEN
                        stand := 2;
                    ELSE
                        IF was.partition IS NOT NULL THEN
                            PERFORM 1 FROM windlass.lines
                            WHERE queue = _queue AND partition = was.partition
                                AND sort = was.sort AND place = was.place AND seq = _seq
                            FOR UPDATE;
                            in_line := FOUND;
                        END IF;
                        PERFORM 1 FROM windlass.scheduled
                        WHERE queue = _queue AND due = was.due AND seq = _seq FOR UPDATE;
                        IF FOUND THEN
                            stand := 1;
                        ELSIF in_line THEN
                            stand := 8;
                        ELSE
                            PERFORM 1 FROM windlass.parked
                            WHERE queue = _queue AND seq = _seq FOR UPDATE;
                            IF FOUND THEN
                                stand := 9;
                            END IF;
                        END IF;
                    END IF;
                END IF;
            END IF;
        END IF;
        CONTINUE WHEN stand IS NULL;
        SELECT * INTO job FROM windlass.jobs WHERE queue = _queue AND seq = _seq FOR UPDATE;
        IF FOUND AND job.lane IS NOT DISTINCT FROM was.lane AND job.sort = was.sort
            AND job.place = was.place AND job.due = was.due
        THEN
            RETURN;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'a job moves faster than it can be held' USING ERRCODE = '40001';
END
$$;

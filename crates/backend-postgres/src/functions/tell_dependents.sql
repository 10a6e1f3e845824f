-- In:  a held job that ends or goes, and whether it completed.
-- Out: the blocked jobs about which core has to decide now.
-- Why: counts the end with each job that waits for it, once.
CREATE FUNCTION windlass.tell_dependents(_seq bigint, _completed bool) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    decide bigint[] := '{}';
    d record;
    undecided bool;
BEGIN
    FOR d IN
        SELECT DISTINCT dependent, dependent_queue FROM windlass.dependencies
        WHERE on_seq = _seq AND open ORDER BY dependent
    LOOP
        UPDATE windlass.jobs j
        SET open = j.open - 1, broken = j.broken + (NOT _completed)::int,
            clear = CASE WHEN j.lane = 0
                         THEN j.open - 1 = 0 OR j.broken + (NOT _completed)::int > 0 END
        WHERE j.queue = d.dependent_queue AND j.seq = d.dependent
        RETURNING j.clear INTO undecided;
        IF undecided THEN
            decide := decide || d.dependent;
        END IF;
    END LOOP;
    UPDATE windlass.dependencies SET open = false WHERE on_seq = _seq AND open;
    RETURN decide;
END
$$;

-- In:  a queue.
-- Out: nothing; a checkpoint is written if much has happened since the last one.
-- Why: dequeues write them as they go. Where nobody dequeues, somebody else must,
--      or the journal grows. Of several queues in one transaction only the first has
--      one written: see checkpoint.
CREATE FUNCTION windlass.keep_house(_queue int) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    k record;
BEGIN
    SELECT * INTO k FROM windlass.look(_queue);
    IF k.entries >= 64 THEN
        PERFORM windlass.checkpoint(_queue, k.jobs, k.sorts, k.places, k.open_end, k.due, k.token,
                                    k.seen, k.base, k.base_txid);
    END IF;
END
$$;

-- In:  a queue's name, whether it is to be paused.
-- Out: whether there is such a queue.
-- Why: it is stored, so that it holds for every process. The queue's lock waits
--      for the dequeues that are under way: each of their statements sees what was
--      committed before it, so that one that found the queue open could otherwise
--      lease what came after the pause.
CREATE FUNCTION windlass.set_paused(_name text, _paused bool) RETURNS bool
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    this int;
BEGIN
    SELECT id INTO this FROM windlass.queues WHERE name = _name;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(windlass.lock_of(this));
    UPDATE windlass.queues SET paused = _paused WHERE id = this;
    RETURN true;
END
$$;

-- In:  a queue's name, the declaration that must be stored (NULL: none), the new
--      one, and what a dequeue goes by.
-- Out: whether the new one is stored.
-- Why: compare and set: what becomes of a declaration is decided elsewhere. The
--      queue's lock waits for the dequeues that are under way, so that new bounds
--      hold from the next one on.
CREATE FUNCTION windlass.declare(
    _name text, _stored text, _spec text, _aged bool, _concurrency bigint, _rate_limit bigint,
    _rate_period bigint, _partitioned bool, _partition_concurrency bigint,
    _partition_rate_limit bigint, _partition_rate_period bigint
) RETURNS bool LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    this int;
BEGIN
    IF _stored IS NULL THEN
        INSERT INTO windlass.queues
            (name, spec, aged, concurrency, rate_limit, rate_period, partitioned,
             partition_concurrency, partition_rate_limit, partition_rate_period)
        VALUES (_name, _spec, _aged, _concurrency, _rate_limit, _rate_period, _partitioned,
                _partition_concurrency, _partition_rate_limit, _partition_rate_period)
        ON CONFLICT (name) DO NOTHING RETURNING id INTO this;
        IF FOUND THEN
            INSERT INTO windlass.checkpoints
            VALUES (this, pg_current_xact_id(), pg_current_snapshot(), '{0,0,0,0,0,0,0,0}', '{}',
                    '{}', false, NULL, NULL);
        END IF;
        RETURN this IS NOT NULL;
    END IF;
    SELECT id INTO this FROM windlass.queues WHERE name = _name;
    PERFORM pg_advisory_xact_lock(windlass.lock_of(this));
    UPDATE windlass.queues
    SET spec = _spec, concurrency = _concurrency, rate_limit = _rate_limit,
        rate_period = _rate_period, partition_concurrency = _partition_concurrency,
        partition_rate_limit = _partition_rate_limit,
        partition_rate_period = _partition_rate_period
    WHERE id = this AND spec = _stored;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO windlass.touched
    SELECT p.queue, p.partition FROM windlass.partitions p WHERE p.queue = this
    -- What waits for its own leases has no row there.
    UNION SELECT l.queue, l.partition FROM windlass.leases l
    WHERE l.queue = this AND l.partition IS NOT NULL;
    RETURN true;
END
$$;

-- In:  a manual clock's moment, or NULL.
-- Out: the store's time: that moment, or the server's clock as it is now, not
--      as it was when the transaction began.
CREATE FUNCTION windlass.clock(_now bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(_now, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
$$;

-- In:  a moment and a length of time, not negative, or NULL.
-- Out: the moment so much later, or the last one there is.
CREATE FUNCTION windlass.later(_moment bigint, _length bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN _length IS NOT NULL
                THEN _moment + least(_length, 9223372036854775807 - greatest(_moment, 0)) END
$$;

-- In:  the base of an order key, whether the place counts together with it, and
--      the place.
-- Out: the first part of the order key, kept within the range of integers.
CREATE FUNCTION windlass.order_key(_base bigint, _aged bool, _place bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN _aged IS NOT TRUE THEN _base
                ELSE least(greatest(_base::numeric + _place, -9223372036854775808),
                           9223372036854775807)::bigint END
$$;

-- In:  a queue.
-- Out: the number of its advisory lock; the next one is that of its checkpoints.
-- Why: advisory locks are shared by all that use a database. The number of one
--      of our own tables keeps ours apart from those of others.
CREATE FUNCTION windlass.lock_of(_queue int) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT ('windlass.queues'::regclass::oid::bigint << 32) + _queue::bigint * 2
$$;

-- In:  a queue.
-- Out: the number of the advisory lock of whoever cleans what has ended in it.
-- Why: as lock_of.
CREATE FUNCTION windlass.cleaning_lock_of(_queue int) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT ('windlass.ended'::regclass::oid::bigint << 32) + _queue::bigint
$$;

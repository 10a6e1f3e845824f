-- In:  ?1 moment at or before which a worker was last heard of, ?2 the id of the
--      one that speaks.
-- Out: nothing.
-- Why: there are few workers; no index is needed.
DELETE FROM windlass_workers WHERE beat_at <= ?1 AND id <> ?2

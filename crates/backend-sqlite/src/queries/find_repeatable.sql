-- In:  ?1 queue, ?2 key.
-- Out: version, record as JSON.
-- Why: the key of the table.
SELECT version, record FROM windlass_repeatables WHERE queue = ?1 AND repeatable_key = ?2

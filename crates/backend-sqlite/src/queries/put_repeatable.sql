-- In:  ?1 queue, ?2 key, ?3 version, ?4 due, ?5 record as JSON.
-- Out: nothing.
-- Why: the guard was compared under the write lock.
INSERT INTO windlass_repeatables (queue, repeatable_key, version, due, record)
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (queue, repeatable_key) DO UPDATE
SET version = excluded.version, due = excluded.due, record = excluded.record

-- In:  ?1 name.
-- Out: number, declaration as JSON, whether it is paused.
-- Why: once per transaction and queue; the rest of the file knows queues by
--      number.
SELECT id, spec, paused FROM windlass_queues WHERE name = ?1

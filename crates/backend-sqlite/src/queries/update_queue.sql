-- In:  ?1 number, ?2 declaration as JSON.
-- Out: nothing.
-- Why: bounds take effect at the next dequeue, which reads them here.
UPDATE windlass_queues SET spec = ?2 WHERE id = ?1

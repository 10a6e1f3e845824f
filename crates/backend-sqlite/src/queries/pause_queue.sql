-- In:  ?1 number, ?2 whether it is to be paused.
-- Out: nothing.
-- Why: pausing what is paused changes nothing.
UPDATE windlass_queues SET paused = ?2 WHERE id = ?1

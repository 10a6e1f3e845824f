-- In:  ?1 dependent, ?2 position, ?3 seq, ?4 queue and ?5 id of the job it waits
--      for, ?6 whether that has not ended.
-- Out: nothing.
-- Why: the seq tells a job from a later one with the same id.
INSERT INTO windlass_dependencies (dependent, position, on_seq, on_queue, on_id, open)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)

-- In:  ?1 name, ?2 declaration as JSON.
-- Out: nothing.
-- Why: the decision to create was made under the write lock.
INSERT INTO windlass_queues (name, spec) VALUES (?1, ?2)

-- In:  ?1 queue, ?2 key, ?3 id of the job, ?4 until when it is held.
-- Out: nothing.
-- Why: replaces what is left of a holder that lost it.
INSERT INTO windlass_dedup (queue, dedup_key, job, live, held_until) VALUES (?1, ?2, ?3, 1, ?4)
ON CONFLICT (queue, dedup_key) DO UPDATE
SET job = excluded.job, live = 1, held_until = excluded.held_until

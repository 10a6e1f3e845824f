-- In:  ?1 id, ?2 what it says as JSON, ?3 now.
-- Out: nothing.
-- Why: keeps since when it has been heard of.
INSERT INTO windlass_workers (id, info, since, beat_at) VALUES (?1, ?2, ?3, ?3)
ON CONFLICT (id) DO UPDATE SET info = excluded.info, beat_at = excluded.beat_at

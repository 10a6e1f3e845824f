-- In:  nothing.
-- Out: what each said, since when it is known, its last sign of life.
-- Why: first come first.
SELECT info, since, beat_at FROM windlass.workers ORDER BY number

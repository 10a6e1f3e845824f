-- In:  a manual clock's moment or NULL, the worker's id, what it says, how long
--      silence is borne.
-- Out: nothing.
-- Why: notes the sign of life, and forgets those that are silent.
WITH silent AS (
    DELETE FROM windlass.workers
    WHERE beat_at <= windlass.clock($1) - least($4, 9223372036854775807 + least(windlass.clock($1), 0))
        AND id <> $2
)
INSERT INTO windlass.workers AS w (id, info, since, beat_at)
VALUES ($2, $3, windlass.clock($1), windlass.clock($1))
ON CONFLICT (id) DO UPDATE SET info = excluded.info, beat_at = excluded.beat_at

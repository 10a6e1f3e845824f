-- A row of an answer: a job, as in summaries and whole_jobs, or something else
-- that facts and note tell of, or both.
CREATE TYPE windlass.answer AS (
    queue int, seq bigint, id uuid, lane smallint, version bigint, token bigint, moment bigint,
    flags int, sort bigint, aged_base bigint, place bigint, due bigint, enqueued_at bigint, started_at bigint,
    worker uuid, cancel_requested bool, open int, broken int, expires bigint, partition text,
    job_type text, options bytea, dedup_key text, dedup_held bigint, dedup_latest bigint,
    rare text, course bytea, progress bytea, result bytea, payload bytea,
    facts bigint[], note text
);

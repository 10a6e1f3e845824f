-- The first schema. Every name begins with windlass_, so that the tables can
-- stand beside an application's own in one file.
--
-- How it is laid out, and why:
--   * A job is one row, written when it is enqueued and, in the life of most
--     jobs, never again. What becomes of it stands in narrow tables beside it:
--     it is ready, then leased, then ended, and each of these is a row that is
--     inserted at the end of its table and taken from the front of another. So
--     a start and an end write a few dozen bytes each, however large the job.
--   * Where jobs wait for a moment or for others, their rows say so, in
--     windlass_jobs_lane, under (queue, lane, key1, seq).
--   * What only few jobs have (a line, an expiry, labels, …) stands in tables of
--     its own. An index over a column that is mostly NULL would have to be
--     opened for every job; a table that no statement names costs nothing. The
--     bits of a job's hooks say which of these tables may know it.
--   * Moments and lengths of time are microseconds; moments count from the Unix
--     epoch.

-- One row about the store itself.
--   schema    the number of the last migration
--   store     16 random bytes that tell this store from any other
--   next_seq  no enqueue sequence below this one is handed out again, though
--             the job that had it has been removed
CREATE TABLE windlass_meta (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    schema   INTEGER NOT NULL,
    store    BLOB NOT NULL,
    next_seq INTEGER NOT NULL
) STRICT;

INSERT INTO windlass_meta (only_row, schema, store, next_seq)
VALUES (1, 1, randomblob(16), 1);

-- Declared queues. spec is the declaration as JSON.
CREATE TABLE windlass_queues (
    id     INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE,
    spec   TEXT NOT NULL,
    paused INTEGER NOT NULL DEFAULT 0
) STRICT;

-- How many jobs of a queue stand in each state. 'scheduled' counts those that
-- were so when they were last touched.
CREATE TABLE windlass_counters (
    queue INTEGER NOT NULL,
    state INTEGER NOT NULL,
    jobs  INTEGER NOT NULL,
    PRIMARY KEY (queue, state)
) STRICT, WITHOUT ROWID;

-- Jobs.
--
-- lane and key1 say where a job stands while it is neither ready nor active nor
-- ended:
--   lane 0  blocked       key1 = 0 if nothing it waits for is open or something
--                         is broken, else 1
--   lane 1  scheduled     key1 = due
--   lane 8  in the line of its partition     key1 = place
--   lane 9  past its expiry, taken out of the order until that is decided;
--           key1 = place
--   none    it stands in windlass_ready (which is called lane 2), in
--           windlass_leases (lane 3) or in windlass_ended (lanes 4 to 7)
-- Lanes 2, 8 and 9 are the state 'waiting'.
--
-- version, token and started_at are those of a job that is neither leased nor
-- ended; the tables of those have their own. A job that has never started has
-- the earliest moment there is for started_at.
--
--   sort   the first part of the order key
--   hooks  what else may know the job, as bits: 1 a line or a partition's
--          leases, 2 a deduplication key, 4 an expiry, 8 windlass_aged, 16 jobs
--          that depend on it, 32 steps, 64 jobs on which it depends, 128 labels
--   rare   what few jobs have and no query asks for, as JSON
CREATE TABLE windlass_jobs (
    seq              INTEGER PRIMARY KEY,
    id               BLOB NOT NULL,
    queue            INTEGER NOT NULL,
    lane             INTEGER,
    key1             INTEGER,
    version          INTEGER NOT NULL DEFAULT 1,
    token            INTEGER NOT NULL DEFAULT 0,
    hooks            INTEGER NOT NULL DEFAULT 0,
    sort             INTEGER NOT NULL,
    place            INTEGER NOT NULL,
    due              INTEGER NOT NULL,
    enqueued_at      INTEGER NOT NULL,
    started_at       INTEGER NOT NULL DEFAULT -9223372036854775808,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    open             INTEGER NOT NULL DEFAULT 0,
    broken           INTEGER NOT NULL DEFAULT 0,
    expires          INTEGER,
    partition        TEXT,
    job_type         TEXT NOT NULL,
    options          BLOB,
    rare             TEXT,
    course           BLOB,
    progress         BLOB,
    payload          BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX windlass_jobs_id ON windlass_jobs (id);
CREATE INDEX windlass_jobs_lane ON windlass_jobs (queue, lane, key1) WHERE lane IS NOT NULL;

-- Jobs that may start, in the order of the queue. Those of partitions stand in
-- lines instead.
CREATE TABLE windlass_ready (
    queue INTEGER NOT NULL,
    sort  INTEGER NOT NULL,
    place INTEGER NOT NULL,
    job   INTEGER NOT NULL,
    PRIMARY KEY (queue, sort, place, job)
) STRICT, WITHOUT ROWID;

-- Active jobs. There are as many as workers have in hand, and no index over
-- them: what looks for those that have run out goes through all, which is less
-- than what an index would cost at each start and each end.
CREATE TABLE windlass_leases (
    job        INTEGER PRIMARY KEY,
    queue      INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    token      INTEGER NOT NULL,
    until      INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    worker     BLOB NOT NULL
) STRICT;

-- Ended jobs; lane is the state's code, 4 to 7.
CREATE TABLE windlass_ended (
    job        INTEGER PRIMARY KEY,
    queue      INTEGER NOT NULL,
    lane       INTEGER NOT NULL,
    moment     INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    token      INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    result     BLOB
) STRICT;

CREATE INDEX windlass_ended_moment ON windlass_ended (queue, lane, moment);

-- The lines of partitions: jobs whose moment has come, or that were put off and
-- keep their place, in the order of the queue.
CREATE TABLE windlass_lines (
    queue         INTEGER NOT NULL,
    partition_key TEXT NOT NULL,
    sort          INTEGER NOT NULL,
    place         INTEGER NOT NULL,
    job           INTEGER NOT NULL,
    PRIMARY KEY (queue, partition_key, sort, place, job)
) STRICT, WITHOUT ROWID;

-- The active jobs of partitions.
CREATE TABLE windlass_holders (
    queue         INTEGER NOT NULL,
    partition_key TEXT NOT NULL,
    job           INTEGER NOT NULL,
    PRIMARY KEY (queue, partition_key, job)
) STRICT, WITHOUT ROWID;

-- Jobs that can still expire: they have not started and not ended.
CREATE TABLE windlass_expiring (
    queue  INTEGER NOT NULL,
    moment INTEGER NOT NULL,
    job    INTEGER NOT NULL,
    PRIMARY KEY (queue, moment, job)
) STRICT, WITHOUT ROWID;

-- The places of ready jobs in queues with ageing, where the order key hides
-- them.
CREATE TABLE windlass_aged (
    queue INTEGER NOT NULL,
    place INTEGER NOT NULL,
    job   INTEGER NOT NULL,
    PRIMARY KEY (queue, place, job)
) STRICT, WITHOUT ROWID;

-- By what jobs can be searched for. kind 1 tag, 2 partition, 3 deduplication
-- key, 4 flow, 5 parent (its queue, a slash, its id).
CREATE TABLE windlass_labels (
    kind  INTEGER NOT NULL,
    label TEXT NOT NULL,
    job   INTEGER NOT NULL,
    PRIMARY KEY (kind, label, job)
) STRICT, WITHOUT ROWID;

-- Which deduplication keys are taken: while live is 1, by a job that has not
-- ended; while held_until is in the future, by whatever became of it.
CREATE TABLE windlass_dedup (
    queue      INTEGER NOT NULL,
    dedup_key  TEXT NOT NULL,
    job        BLOB NOT NULL,
    live       INTEGER NOT NULL,
    held_until INTEGER,
    PRIMARY KEY (queue, dedup_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX windlass_dedup_held ON windlass_dedup (queue, held_until)
    WHERE live = 0;

-- What a job waits for. open is 1 until the job it waits for has ended and has
-- been counted. A row outlives the job that it names, but not its dependent.
CREATE TABLE windlass_dependencies (
    dependent INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    on_seq    INTEGER NOT NULL,
    on_queue  INTEGER NOT NULL,
    on_id     BLOB NOT NULL,
    open      INTEGER NOT NULL,
    PRIMARY KEY (dependent, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX windlass_dependencies_on ON windlass_dependencies (on_seq, dependent);

-- The partitions that have a line, and whether their first job may start.
--   status 1  it may
--   status 2  not before moment
--   status 3  not before a lease of the partition ends
--   status 4  not before the limits change
-- head1, head2 and head_seq are the order key of the first job in line.
CREATE TABLE windlass_partitions (
    queue         INTEGER NOT NULL,
    partition_key TEXT NOT NULL,
    status        INTEGER NOT NULL,
    head1         INTEGER NOT NULL,
    head2         INTEGER NOT NULL,
    head_seq      INTEGER NOT NULL,
    moment        INTEGER,
    PRIMARY KEY (queue, partition_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX windlass_partitions_ready
    ON windlass_partitions (queue, head1, head2, head_seq) WHERE status = 1;
CREATE INDEX windlass_partitions_waiting
    ON windlass_partitions (queue, moment) WHERE status = 2;

-- How many jobs started when, where a rate is limited: of a queue (owner is
-- empty) or of a partition (owner is its key).
CREATE TABLE windlass_starts (
    queue  INTEGER NOT NULL,
    owner  TEXT NOT NULL,
    moment INTEGER NOT NULL,
    jobs   INTEGER NOT NULL,
    PRIMARY KEY (queue, owner, moment)
) STRICT, WITHOUT ROWID;

CREATE INDEX windlass_starts_moment ON windlass_starts (queue, moment);

-- Repeatables: record is the whole record as JSON.
CREATE TABLE windlass_repeatables (
    queue          INTEGER NOT NULL,
    repeatable_key TEXT NOT NULL,
    version        INTEGER NOT NULL,
    due            INTEGER,
    record         TEXT NOT NULL,
    PRIMARY KEY (queue, repeatable_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX windlass_repeatables_due ON windlass_repeatables (due) WHERE due IS NOT NULL;

-- Workers that have been heard of: info is what they said, as JSON.
CREATE TABLE windlass_workers (
    number  INTEGER PRIMARY KEY,
    id      BLOB NOT NULL UNIQUE,
    info    TEXT NOT NULL,
    since   INTEGER NOT NULL,
    beat_at INTEGER NOT NULL
) STRICT;

-- Recorded steps of durable jobs.
CREATE TABLE windlass_steps (
    job      INTEGER NOT NULL,
    position INTEGER NOT NULL,
    name     TEXT NOT NULL,
    outcome  BLOB NOT NULL,
    PRIMARY KEY (job, position)
) STRICT, WITHOUT ROWID;

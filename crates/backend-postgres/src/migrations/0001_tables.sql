-- The first schema. Everything stands in a schema of its own; where it has
-- another name than "windlass", the name is put in before this is run.
--
-- How it is laid out, and why:
--   * A job is one row, written when it is enqueued and, in the life of most
--     jobs, never again. Where it stands says a row in a narrow table: it is
--     scheduled, ready, leased, ended. Each of these rows is inserted once and
--     deleted once, and never updated on the way.
--   * Deleted rows stay in Postgres until vacuum removes them, and vacuum may
--     not while anybody holds an old snapshot. So nothing that is asked for
--     again and again may begin at the front of an index: the journal says from
--     where on there is something (see checkpoints).
--   * Moments and lengths of time are microseconds; moments count from the Unix
--     epoch.

CREATE SEQUENCE windlass.job_seq;

-- Declared queues. spec is the declaration as JSON; what a dequeue compares and
-- counts by stands beside it.
CREATE TABLE windlass.queues (
    id                    int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                  text COLLATE "C" NOT NULL UNIQUE,
    spec                  text NOT NULL,
    paused                bool NOT NULL DEFAULT false,
    aged                  bool NOT NULL,
    concurrency           bigint,
    rate_limit            bigint,
    rate_period           bigint,
    partitioned           bool NOT NULL,
    partition_concurrency bigint,
    partition_rate_limit  bigint,
    partition_rate_period bigint
);

-- Jobs.
--   lane   0 if the job is blocked; otherwise none: another table says where it
--          stands
--   clear  for a blocked job: whether core has to decide about it, because
--          nothing it waits for is open or something is broken
--   version and started_at are those of a job that is neither leased nor ended
--   sort   the first part of the order key; aged_base what it is made from
--          together with the place, in queues with ageing
--   flags  what else may know the job, as bits: 1 a line or a partition's
--          leases, 2 a deduplication key, 4 an expiry, 8 the table of places in
--          queues with ageing, 16 jobs that depend on it, 32 steps, 64 jobs on
--          which it depends, 128 labels
--   rare   what few jobs have and no query asks for, as JSON
CREATE TABLE windlass.jobs (
    queue            int NOT NULL,
    flags            int NOT NULL DEFAULT 0,
    seq              bigint NOT NULL,
    id               uuid NOT NULL,
    sort             bigint NOT NULL,
    place            bigint NOT NULL,
    due              bigint NOT NULL,
    enqueued_at      bigint NOT NULL,
    version          bigint NOT NULL DEFAULT 1,
    job_type         text COLLATE "C" NOT NULL,
    payload          bytea NOT NULL,
    options          bytea,
    lane             smallint,
    clear            bool,
    started_at       bigint,
    cancel_requested bool,
    open             int,
    broken           int,
    expires          bigint,
    partition        text COLLATE "C",
    dedup_key        text COLLATE "C",
    dedup_held       bigint,
    dedup_latest     bigint,
    aged_base        bigint,
    rare             text,
    course           bytea,
    progress         bytea,
    PRIMARY KEY (queue, seq),
    UNIQUE (id)
);

CREATE INDEX jobs_blocked ON windlass.jobs (queue, clear, seq) WHERE lane = 0;

-- Jobs whose moment had not come when they were last touched.
CREATE TABLE windlass.scheduled (
    queue int NOT NULL,
    due   bigint NOT NULL,
    seq   bigint NOT NULL,
    PRIMARY KEY (queue, due, seq)
);

-- Jobs that may start, in the order of the queue. Those of partitions stand in
-- lines instead.
CREATE TABLE windlass.ready (
    queue int NOT NULL,
    sort  bigint NOT NULL,
    place bigint NOT NULL,
    seq   bigint NOT NULL,
    PRIMARY KEY (queue, sort, place, seq)
);

-- Active jobs. token is that of the dequeue which leased them: it is larger than
-- that of every earlier dequeue of the queue whose leases this one could see.
CREATE TABLE windlass.leases (
    queue      int NOT NULL,
    flags      int NOT NULL,
    token      bigint NOT NULL,
    seq        bigint NOT NULL,
    id         uuid NOT NULL,
    version    bigint NOT NULL,
    until      bigint NOT NULL,
    started_at bigint NOT NULL,
    worker     uuid NOT NULL,
    cancel_requested bool NOT NULL DEFAULT false,
    partition  text COLLATE "C",
    PRIMARY KEY (queue, token, id)
) WITH (fillfactor = 90);

-- What is looked for by one index must be in no other. A table that is empty when
-- statistics are taken makes all indexes cost the same that have any of the columns
-- of a condition, wherever they stand in them, and then it may be the one that leads
-- through every row. So leases_seq has no queue, and other indexes leave columns
-- out or hide them in an expression, which is looked for as it stands there.
CREATE UNIQUE INDEX leases_seq ON windlass.leases (seq);
CREATE INDEX leases_partition ON windlass.leases ((queue + 0), partition) WHERE partition IS NOT NULL;

-- Ended jobs; state is the state's code, 4 to 7.
CREATE TABLE windlass.ended (
    queue      int NOT NULL,
    state      smallint NOT NULL,
    seq        bigint NOT NULL,
    moment     bigint NOT NULL,
    version    bigint NOT NULL,
    started_at bigint,
    result     bytea,
    PRIMARY KEY (seq)
);

CREATE INDEX ended_moment ON windlass.ended (queue, state, moment, (seq + 0));

-- Jobs past their expiry, taken out of the order until that is decided.
CREATE TABLE windlass.parked (
    queue int NOT NULL,
    seq   bigint NOT NULL,
    place bigint NOT NULL,
    PRIMARY KEY (queue, seq)
);

-- The lines of partitions: jobs whose moment has come, or that were put off and
-- keep their place, in the order of the queue.
CREATE TABLE windlass.lines (
    queue     int NOT NULL,
    partition text COLLATE "C" NOT NULL,
    sort      bigint NOT NULL,
    place     bigint NOT NULL,
    seq       bigint NOT NULL,
    due       bigint NOT NULL,
    PRIMARY KEY (queue, partition, sort, place, seq)
);

CREATE INDEX lines_place ON windlass.lines ((queue + 0), (place + 0));

-- Partitions whose line, leases or limits have changed since they were judged.
CREATE TABLE windlass.touched (
    queue     int NOT NULL,
    partition text COLLATE "C" NOT NULL
);

CREATE INDEX touched_queue ON windlass.touched (queue);

-- The partitions that have a line, and whether their first job may start. What has
-- to wait for one of its own leases is not here.
--   status 1  it may
--   status 2  not before moment
--   status 4  not before the limits change
--   room   how many may start
-- sort, place and seq are the order key of the first job in line.
CREATE TABLE windlass.partitions (
    queue     int NOT NULL,
    partition text COLLATE "C" NOT NULL,
    status    smallint NOT NULL,
    room      bigint NOT NULL,
    sort      bigint NOT NULL,
    place     bigint NOT NULL,
    seq       bigint NOT NULL,
    moment    bigint,
    PRIMARY KEY (queue, partition)
) WITH (fillfactor = 70);

CREATE INDEX partitions_ready ON windlass.partitions (queue, sort, place, seq) WHERE status = 1;
CREATE INDEX partitions_waiting ON windlass.partitions (queue, moment) WHERE status = 2;

-- Jobs that can still expire: they have not started and not ended.
CREATE TABLE windlass.expiring (
    queue  int NOT NULL,
    moment bigint NOT NULL,
    seq    bigint NOT NULL,
    PRIMARY KEY (queue, moment, seq)
);

-- The places of ready jobs in queues with ageing, where the order key hides
-- them.
CREATE TABLE windlass.aged (
    queue int NOT NULL,
    place bigint NOT NULL,
    seq   bigint NOT NULL,
    PRIMARY KEY (queue, place, seq)
);

-- By what jobs can be searched for. kind 1 tag, 2 partition, 3 deduplication
-- key, 4 flow, 5 parent (its queue, a slash, its id).
CREATE TABLE windlass.labels (
    kind  smallint NOT NULL,
    label text COLLATE "C" NOT NULL,
    seq   bigint NOT NULL,
    queue int NOT NULL,
    PRIMARY KEY (kind, label, seq)
);

CREATE INDEX labels_seq ON windlass.labels ((seq + 0));

-- Which deduplication keys are taken: while live, by a job that has not ended;
-- while held_until is in the future, by whatever became of it.
CREATE TABLE windlass.dedup (
    queue      int NOT NULL,
    dedup_key  text COLLATE "C" NOT NULL,
    job        uuid NOT NULL,
    live       bool NOT NULL,
    held_until bigint,
    PRIMARY KEY (queue, dedup_key)
);

CREATE INDEX dedup_held ON windlass.dedup (queue, held_until) WHERE NOT live;

-- What a job waits for. open until the job it waits for has ended and has been
-- counted. A row outlives the job that it names, but not its dependent.
CREATE TABLE windlass.dependencies (
    dependent       bigint NOT NULL,
    dependent_queue int NOT NULL,
    position        int NOT NULL,
    on_queue        int NOT NULL,
    on_seq          bigint NOT NULL,
    on_id           uuid NOT NULL,
    open            bool NOT NULL,
    PRIMARY KEY (dependent, position)
);

CREATE INDEX dependencies_on ON windlass.dependencies (on_seq);

-- How many jobs started when, where a rate is limited: of a queue (owner is
-- empty) or of a partition (owner is its key).
CREATE TABLE windlass.starts (
    queue  int NOT NULL,
    owner  text COLLATE "C" NOT NULL,
    moment bigint NOT NULL,
    jobs   bigint NOT NULL,
    PRIMARY KEY (queue, owner, moment)
);

CREATE INDEX starts_moment ON windlass.starts ((queue + 0), moment);

-- Repeatables: record is the whole record as JSON.
CREATE TABLE windlass.repeatables (
    queue          int NOT NULL,
    repeatable_key text COLLATE "C" NOT NULL,
    version        bigint NOT NULL,
    due            bigint,
    record         text NOT NULL,
    PRIMARY KEY (queue, repeatable_key)
);

CREATE INDEX repeatables_due ON windlass.repeatables (due) WHERE due IS NOT NULL;

-- Workers that have been heard of: info is what they said, as JSON.
CREATE TABLE windlass.workers (
    number  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id      uuid NOT NULL UNIQUE,
    info    text NOT NULL,
    since   bigint NOT NULL,
    beat_at bigint NOT NULL
);

-- Recorded steps of durable jobs.
CREATE TABLE windlass.steps (
    queue    int NOT NULL,
    seq      bigint NOT NULL,
    position bigint NOT NULL,
    name     text NOT NULL,
    outcome  bytea NOT NULL,
    PRIMARY KEY (queue, seq, position)
);

-- What each transaction did to a queue: by how much the jobs of each state have
-- become more or fewer, and the smallest keys that it has put into the tables
-- which are read from their front.
--   sort, place  a lower bound of what it put into ready
--   due          of what it put into scheduled
--   token        of what it put into leases
CREATE TABLE windlass.journal (
    queue     int NOT NULL,
    txid      xid8 NOT NULL,
    blocked   bigint NOT NULL DEFAULT 0,
    scheduled bigint NOT NULL DEFAULT 0,
    waiting   bigint NOT NULL DEFAULT 0,
    active    bigint NOT NULL DEFAULT 0,
    completed bigint NOT NULL DEFAULT 0,
    failed    bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    expired   bigint NOT NULL DEFAULT 0,
    sort      bigint,
    place     bigint,
    due       bigint,
    token     bigint
);

CREATE INDEX journal_txid ON windlass.journal (queue, txid);

-- What was known of a queue in a snapshot: how many jobs stood in each state,
-- and from where on there was anything alive in the tables that are read from
-- their front. What the journal says of transactions that the snapshot did not
-- see comes on top; all that it saw can go from the journal. So no transaction
-- is missed, however late it commits.
--   sorts, places  the ranks in ready, and the first place that is alive in each
--   open_end       whether the last of these stands for all that comes behind it
--   due            the first that is alive in scheduled
--   token          the first that is alive in leases
CREATE TABLE windlass.checkpoints (
    queue     int NOT NULL,
    txid      xid8 NOT NULL,
    seen      pg_snapshot NOT NULL,
    jobs      bigint[] NOT NULL,
    sorts     bigint[] NOT NULL,
    places    bigint[] NOT NULL,
    open_end  bool NOT NULL,
    due       bigint,
    token     bigint,
    PRIMARY KEY (queue, txid)
);

-- Tokens are drawn from here.
CREATE SEQUENCE windlass.lease_token;

-- A job as it stands, without payload and result.
--   lane    as in jobs, or 3 for a leased job, 4 to 7 for an ended one, 2 for
--           any other
--   moment  the end of the lease, or of the job
CREATE VIEW windlass.summaries AS
SELECT j.queue, j.seq, j.id,
       coalesce(j.lane, e.state, CASE WHEN l.seq IS NULL THEN 2 ELSE 3 END)::smallint AS lane,
       coalesce(e.version, l.version, j.version) AS version,
       l.token, coalesce(e.moment, l.until) AS moment,
       j.flags, j.sort, j.aged_base, j.place, j.due, j.enqueued_at,
       CASE WHEN e.seq IS NOT NULL THEN e.started_at ELSE coalesce(l.started_at, j.started_at) END
           AS started_at,
       l.worker, coalesce(l.cancel_requested, false) OR coalesce(j.cancel_requested, false)
           AS cancel_requested,
       coalesce(j.open, 0) AS open, coalesce(j.broken, 0) AS broken, j.expires, j.partition,
       j.job_type, j.options, j.dedup_key, j.dedup_held, j.dedup_latest, j.rare, j.course,
       j.progress
FROM windlass.jobs j
LEFT JOIN windlass.leases l ON l.seq = j.seq
LEFT JOIN windlass.ended e ON e.seq = j.seq;

-- The same with result and payload.
CREATE VIEW windlass.whole_jobs AS
SELECT s.*, e.result, j.payload
FROM windlass.summaries s
JOIN windlass.jobs j ON j.queue = s.queue AND j.seq = s.seq
LEFT JOIN windlass.ended e ON e.seq = s.seq;

-- Rows here live for moments; what is left of them must not pile up.
ALTER TABLE windlass.ready SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE windlass.scheduled SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE windlass.expiring SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE windlass.leases SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE windlass.journal SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE windlass.checkpoints SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE windlass.lines SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE windlass.touched SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE windlass.partitions SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

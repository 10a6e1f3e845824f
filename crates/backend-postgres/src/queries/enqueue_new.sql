-- In:  a manual clock's moment or NULL; a queue's name; new ids; the payloads; the
--      type, options and base of each job, once if all have the same and otherwise
--      as an array, of which NULL stands for none.
-- Out: now; nothing if there is no such queue.
-- Why: the simplest jobs, which are most of them: due at once, of one queue, and
--      known to nothing else. Without a function, and without asking first whether
--      an id is there, the server has a third less to do for them. An id that is
--      there is an error; enqueue_plain then finds out whose.
WITH q AS MATERIALIZED (
    SELECT q.id, windlass.clock($1) AS now FROM windlass.queues q WHERE q.name = $2
), new AS MATERIALIZED (
    SELECT q.id AS queue, q.now, nextval('windlass.job_seq') AS seq, u.id, u.payload,
           coalesce($5, u.job_type) AS job_type, coalesce($7, u.options) AS options,
           coalesce($9, u.base) AS base
    FROM q CROSS JOIN unnest($3::uuid[], $4::bytea[], $6::text[], $8::bytea[], $10::bigint[])
        AS u(id, payload, job_type, options, base)
), jobs AS (
    INSERT INTO windlass.jobs
        (queue, seq, id, sort, place, due, enqueued_at, job_type, payload, options)
    SELECT n.queue, n.seq, n.id, n.base, n.now, n.now, n.now, n.job_type, n.payload, n.options
    FROM new n
), ready AS (
    INSERT INTO windlass.ready SELECT n.queue, n.base, n.now, n.seq FROM new n
), journal AS (
    INSERT INTO windlass.journal (queue, txid, waiting, sort, place)
    SELECT n.queue, pg_current_xact_id(), count(*), n.base, n.now FROM new n
    GROUP BY n.queue, n.base, n.now
)
SELECT q.now FROM q

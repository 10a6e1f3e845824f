-- In:  ?1 seq, ?2 id, ?3 queue, ?4 lane, ?5 key1, ?6 sort, ?7 place and due, ?8 now,
--      ?9 job type, ?10 options, ?11 payload, ?12 hooks, ?13 open, ?14 broken,
--      ?15 expires, ?16 partition, ?17 rare.
-- Out: one change if it is stored, none if its id exists.
-- Why: the same as insert_plain_job for jobs that have more.
INSERT INTO windlass_jobs
    (seq, id, queue, lane, key1, sort, place, due, enqueued_at, job_type, options, payload,
     hooks, open, broken, expires, partition, rare)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
ON CONFLICT (id) DO NOTHING

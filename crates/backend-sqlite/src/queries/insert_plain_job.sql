-- In:  ?1 seq, ?2 id, ?3 queue, ?4 lane, ?5 key1, ?6 sort, ?7 place and due, ?8 now,
--      ?9 job type, ?10 options, ?11 payload.
-- Out: one change if it is stored, none if its id exists.
-- Why: most jobs have nothing else, and a bound NULL costs as much as a value.
INSERT INTO windlass_jobs
    (seq, id, queue, lane, key1, sort, place, due, enqueued_at, job_type, options, payload)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT (id) DO NOTHING

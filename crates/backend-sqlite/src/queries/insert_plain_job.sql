-- In:  ?1 seq, ?2 id, ?3 queue, ?4 lane, ?5 key1, ?6 key2, ?7 sort, ?8 place and
--      due, ?9 now, ?10 job type, ?11 options, ?12 payload.
-- Out: one change if it is stored, none if its id exists.
-- Why: most jobs have nothing else, and a bound NULL costs as much as a value.
INSERT INTO windlass_jobs
    (seq, id, queue, lane, key1, key2, sort, place, due, enqueued_at, job_type, options, payload)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10, ?11, ?12)
ON CONFLICT (id) DO NOTHING

-- In:  for each of several jobs: seq, id, queue, lane, key1, sort, place, due,
--      now, job type, options, payload.
-- Out: as many changes as are stored; those whose ids exist are not.
-- Why: as insert_plain_job; opening the table and its indexes once for several
--      jobs saves a quarter of the time. The row between the marks is repeated.
INSERT INTO windlass_jobs
    (seq, id, queue, lane, key1, sort, place, due, enqueued_at, job_type, options, payload)
VALUES /*many*/(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)/*many*/
ON CONFLICT (id) DO NOTHING

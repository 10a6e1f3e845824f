seq, id, queue, lane, version, token, key1, hooks, sort, due, place, enqueued_at, started_at,
    worker, cancel_requested, open, broken, expires, partition, job_type, options, rare, course,
    progress

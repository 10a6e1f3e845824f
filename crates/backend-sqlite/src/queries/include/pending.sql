windlass_jobs.seq, id, windlass_jobs.queue, coalesce(lane, 2), version, token, key1, hooks,
    windlass_jobs.sort, due, windlass_jobs.place, enqueued_at, started_at, NULL, cancel_requested,
    open, broken, expires, partition, job_type, options, rare, course, progress, NULL, payload

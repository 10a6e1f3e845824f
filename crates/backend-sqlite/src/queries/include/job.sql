windlass_jobs.seq, windlass_jobs.id, windlass_jobs.queue, /*lane*/,
    coalesce(windlass_ended.version, windlass_leases.version, windlass_jobs.version),
    coalesce(windlass_ended.token, windlass_leases.token, windlass_jobs.token),
    coalesce(windlass_ended.moment, windlass_leases.until, windlass_jobs.key1),
    hooks, sort, due, place, enqueued_at,
    coalesce(windlass_ended.started_at, windlass_leases.started_at, windlass_jobs.started_at),
    windlass_leases.worker, cancel_requested, open, broken, expires, partition, job_type, options,
    rare, course, progress

CASE
        WHEN windlass_jobs.lane IS NOT NULL THEN windlass_jobs.lane
        WHEN windlass_ended.job IS NOT NULL THEN windlass_ended.lane
        WHEN windlass_leases.job IS NOT NULL THEN 3
        ELSE 2
    END

LEFT JOIN windlass_leases ON windlass_leases.job = windlass_jobs.seq
LEFT JOIN windlass_ended ON windlass_ended.job = windlass_jobs.seq

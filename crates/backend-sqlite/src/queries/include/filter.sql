windlass_jobs.seq BETWEEN :low AND :high
    AND (:queue IS NULL OR windlass_jobs.queue = :queue)
    AND (:states >> CASE
            WHEN /*lane*/ NOT IN (1, 2, 8, 9) THEN /*lane*/
            WHEN due > :now THEN 1
            ELSE 2
        END) & 1
    AND (:job_type IS NULL OR job_type = :job_type)
    AND NOT EXISTS (
        SELECT 1 FROM json_each(:labels) AS wanted
        WHERE NOT EXISTS (
            SELECT 1 FROM windlass_labels
            WHERE kind = wanted.value ->> 0 AND label = wanted.value ->> 1
                AND windlass_labels.job = windlass_jobs.seq))

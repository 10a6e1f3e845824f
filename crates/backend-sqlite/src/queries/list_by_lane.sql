-- In:  the filter's fields and bounds, by name; :list the lanes as a JSON array.
-- Out: the jobs of a queue in some lanes, of which there are few, in the order of the enqueue sequence.
-- Why: sorting a few is cheaper than walking past many.
SELECT /*columns*/ FROM windlass_jobs NOT INDEXED
/*beside*/
WHERE seq IN (
        SELECT seq FROM windlass_jobs AS pending INDEXED BY windlass_jobs_lane
        WHERE pending.queue = :queue AND pending.lane IN (SELECT value FROM json_each(:list))
        UNION ALL SELECT job FROM windlass_ready
        WHERE queue = :queue AND 2 IN (SELECT value FROM json_each(:list))
        UNION ALL SELECT job FROM windlass_leases
        WHERE queue = :queue AND 3 IN (SELECT value FROM json_each(:list))
        UNION ALL SELECT job FROM windlass_ended
        WHERE queue = :queue AND lane IN (SELECT value FROM json_each(:list)))
    AND /*filter*/
ORDER BY seq /*direction*/ LIMIT :limit

-- In:  ?1 queue, ?2 partition.
-- Out: seq, sort, place, due and lane of the first job in line.
-- Why: it alone decides whether the partition may go on.
SELECT seq, line.sort, line.place, due, lane
FROM windlass_lines AS line CROSS JOIN windlass_jobs ON seq = line.job
WHERE line.queue = ?1 AND partition_key = ?2 ORDER BY line.sort, line.place, job LIMIT 1

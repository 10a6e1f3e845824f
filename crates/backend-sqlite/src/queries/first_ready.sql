-- In:  ?1 queue.
-- Out: seq of the first ready job, and its expiry if it can still come to pass.
-- Why: tells whether a dequeue was stopped or has found all there was.
SELECT seq, CASE WHEN started_at = -9223372036854775808 THEN expires END
FROM windlass_ready CROSS JOIN windlass_jobs ON seq = job
WHERE windlass_ready.queue = ?1
ORDER BY windlass_ready.sort, windlass_ready.place, job LIMIT 1

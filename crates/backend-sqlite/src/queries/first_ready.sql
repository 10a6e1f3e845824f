-- In:  ?1 queue.
-- Out: seq of the first ready job, and its expiry if it can still come to pass.
-- Why: tells whether a dequeue was stopped or has found all there was.
SELECT seq, CASE WHEN started_at = -9223372036854775808 THEN expires END FROM windlass_jobs
WHERE queue = ?1 AND lane = 2 ORDER BY key1, key2, seq LIMIT 1

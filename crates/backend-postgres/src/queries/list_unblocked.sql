-- In:  a queue's name, seq behind which to begin, how many at most.
-- Out: the blocked jobs about which core has to decide.
-- Why: the index keeps them apart from those that go on waiting.
SELECT s.* FROM windlass.queues q
CROSS JOIN LATERAL (
    SELECT j.queue, j.seq FROM windlass.jobs j
    WHERE j.queue = q.id AND j.lane = 0 AND j.clear AND j.seq > $2
    ORDER BY j.queue, j.clear, j.seq LIMIT $3
) AS free
JOIN windlass.summaries s ON s.queue = free.queue AND s.seq = free.seq
WHERE q.name = $1 ORDER BY free.seq

-- In:  the bounds of seq, a manual clock's moment or NULL, the states as bits, the
--      job type or NULL, kinds and texts of the labels, how many at most, a queue's
--      name or NULL.
-- Out: the jobs of a queue that are blocked, active or ended otherwise than
--      completed, in the order of the enqueue sequence.
-- Why: of these there are few: sorting them is cheaper than walking past many.
SELECT s.* FROM windlass.queues q
CROSS JOIN LATERAL (
    SELECT j.seq FROM windlass.jobs j WHERE j.queue = q.id AND j.lane = 0 AND $4 & 1 <> 0
    UNION ALL SELECT l.seq FROM windlass.leases l WHERE l.queue = q.id AND $4 & 8 <> 0
    UNION ALL SELECT e.seq FROM windlass.ended e
    WHERE e.queue = q.id AND e.state IN (5, 6, 7) AND ($4 >> e.state::int) & 1 = 1
) AS few
JOIN windlass.summaries /*jobs*/ s ON s.queue = q.id AND s.seq = few.seq
WHERE q.name = $9 AND /*filter*/
ORDER BY s.seq /*direction*/ LIMIT $8

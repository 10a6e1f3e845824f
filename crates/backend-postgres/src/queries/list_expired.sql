-- In:  a manual clock's moment or NULL, a queue's name, moment and seq behind which
--      to begin, how many at most.
-- Out: the jobs past their expiry that have not started.
-- Why: only jobs that can still expire are in the table, in the order of the
--      page.
SELECT s.* FROM windlass.queues q
CROSS JOIN LATERAL (
    SELECT e.queue, e.moment, e.seq FROM windlass.expiring e
    WHERE e.queue = q.id AND e.moment <= windlass.clock($1) AND (e.moment, e.seq) > ($3, $4)
    ORDER BY e.queue, e.moment, e.seq LIMIT $5
) AS gone
JOIN windlass.summaries s ON s.queue = gone.queue AND s.seq = gone.seq
WHERE q.name = $2 ORDER BY gone.moment, gone.seq

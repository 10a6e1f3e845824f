-- In:  the bounds of seq, a manual clock's moment or NULL, the states as bits, the
--      job type or NULL, kinds and texts of the labels, how many at most, a queue's
--      name or NULL.
-- Out: any job, in the order of the enqueue sequence.
-- Why: nothing narrower is known; most rows on the way match. Each queue has its
--      jobs in order, and the pages of all are put together.
SELECT page.* FROM windlass.queues q
CROSS JOIN LATERAL (
    SELECT s.* FROM windlass.summaries /*jobs*/ s
    WHERE s.queue = q.id AND /*filter*/
    ORDER BY s.seq /*direction*/ LIMIT $8
) AS page
WHERE $9::text IS NULL OR q.name = $9
ORDER BY page.seq /*direction*/ LIMIT $8

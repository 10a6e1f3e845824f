-- In:  the bounds of seq, a manual clock's moment or NULL, the states as bits, the
--      job type or NULL, kinds and texts of the labels, how many at most, a queue's
--      name or NULL; kind and text of the label that
--      few jobs have.
-- Out: the jobs with that label, in the order of the enqueue sequence.
-- Why: the table of labels has them by sequence.
SELECT s.* FROM windlass.labels narrow
JOIN windlass.queues q ON q.id = narrow.queue
JOIN windlass.summaries /*jobs*/ s ON s.queue = narrow.queue AND s.seq = narrow.seq
WHERE narrow.kind = $10 AND narrow.label = $11 AND narrow.seq BETWEEN $1 AND $2
    AND ($9::text IS NULL OR q.name = $9) AND /*filter*/
ORDER BY s.seq /*direction*/ LIMIT $8

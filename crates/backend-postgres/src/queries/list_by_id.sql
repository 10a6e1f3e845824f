-- In:  the bounds of seq, a manual clock's moment or NULL, the states as bits, the
--      job type or NULL, kinds and texts of the labels, how many at most, a queue's
--      name or NULL; ids.
-- Out: the jobs with a job key, by the ids that derive from it, in the order of the
--      enqueue sequence.
-- Why: one step into the index for each queue.
SELECT s.* FROM unnest($10::uuid[]) AS wanted_id
JOIN windlass.jobs j ON j.id = wanted_id
JOIN windlass.queues q ON q.id = j.queue
JOIN windlass.summaries /*jobs*/ s ON s.queue = j.queue AND s.seq = j.seq
WHERE ($9::text IS NULL OR q.name = $9) AND /*filter*/
ORDER BY s.seq /*direction*/ LIMIT $8

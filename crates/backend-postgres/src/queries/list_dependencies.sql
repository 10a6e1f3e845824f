-- In:  a manual clock's moment or NULL, a queue's name, an id.
-- Out: queue and id of each job that it depends on, its state, its result.
-- Why: a job that was removed still stands here, without state.
SELECT n.name, d.on_id,
       CASE WHEN s.lane IN (1, 2) THEN CASE WHEN s.due > windlass.clock($1) THEN 1 ELSE 2 END
            ELSE s.lane END::int,
       CASE WHEN e.state = 4 THEN e.result END
FROM windlass.queues q
JOIN windlass.jobs j ON j.id = $3 AND j.queue + 0 = q.id
JOIN windlass.dependencies d ON d.dependent = j.seq
JOIN windlass.queues n ON n.id = d.on_queue
LEFT JOIN windlass.summaries s ON s.queue = d.on_queue AND s.seq = d.on_seq
LEFT JOIN windlass.ended e ON e.seq = d.on_seq
WHERE q.name = $2 ORDER BY d.position

-- In:  the filter's fields and bounds, by name; :list the ids in hexadecimal, as a JSON array.
-- Out: the jobs with a job key, by the ids that derive from it, in the order of the enqueue sequence.
-- Why: one step into the index for each queue.
SELECT /*columns*/ FROM windlass_jobs INDEXED BY windlass_jobs_id
/*beside*/
WHERE id IN (SELECT unhex(value) FROM json_each(:list))
    AND /*filter*/
ORDER BY seq /*direction*/ LIMIT :limit

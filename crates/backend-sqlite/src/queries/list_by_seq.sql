-- In:  the filter's fields and bounds, by name; :list NULL.
-- Out: any job, in the order of the enqueue sequence.
-- Why: nothing narrower is known; most rows on the way match.
SELECT /*columns*/ FROM windlass_jobs NOT INDEXED
/*beside*/
WHERE :list IS NULL
    AND /*filter*/
ORDER BY seq /*direction*/ LIMIT :limit

-- In:  the filter's fields and bounds, by name; :list kind and label as a JSON array.
-- Out: the jobs with a label, in the order of the enqueue sequence.
-- Why: the table of labels has them by sequence.
SELECT /*columns*/ FROM windlass_jobs NOT INDEXED
/*beside*/
WHERE seq IN (
        SELECT job FROM windlass_labels
        WHERE kind = :list ->> 0 AND label = :list ->> 1 AND job BETWEEN :low AND :high)
    AND /*filter*/
ORDER BY seq /*direction*/ LIMIT :limit

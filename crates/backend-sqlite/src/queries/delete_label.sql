-- In:  ?1 kind, ?2 label, ?3 job.
-- Out: nothing.
-- Why: the job says what its entry is, so that it is one step into the table.
DELETE FROM windlass_labels
WHERE kind = ?1 AND label = ?2 AND job = ?3

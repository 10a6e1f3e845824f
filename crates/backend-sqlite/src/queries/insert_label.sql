-- In:  ?1 kind, ?2 label, ?3 job.
-- Out: nothing.
-- Why: only the few jobs that have one pay for it.
INSERT INTO windlass_labels (kind, label, job)
VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING

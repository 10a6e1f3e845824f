-- In:  for each of several jobs: as insert_lease.
-- Out: nothing.
-- Why: as insert_plain_jobs. The row between the marks is repeated.
INSERT INTO windlass_leases (job, queue, version, token, until, started_at, worker)
VALUES /*many*/(?, ?, ?, ?, ?, ?, ?)/*many*/

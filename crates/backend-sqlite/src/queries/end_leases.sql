-- In:  for each of several jobs: job, queue, version, token, lane of its end,
--      result; then now.
-- Out: as many changes as guards hold.
-- Why: as end_lease; one statement for several costs half as much. A job of
--      NULL stands for none. The row between the marks is repeated.
WITH wanted (job, queue, version, token, lane, result) AS (
    VALUES /*many*/(?, ?, ?, ?, ?, ?)/*many*/)
INSERT INTO windlass_ended (job, queue, lane, moment, version, token, started_at, result)
SELECT windlass_leases.job, windlass_leases.queue, wanted.lane, ?, windlass_leases.version + 1,
       windlass_leases.token, started_at, wanted.result
FROM wanted CROSS JOIN windlass_leases ON windlass_leases.job = wanted.job
WHERE windlass_leases.queue = wanted.queue AND windlass_leases.version = wanted.version
    AND windlass_leases.token = wanted.token

-- In:  ?1 job, ?2 queue, ?3 version, ?4 token, ?5 lane of its end, ?6 now, ?7 result.
-- Out: one change if the guard holds.
-- Why: how most jobs end: their own rows stay as they are. The lease is then
--      still to be taken out.
INSERT INTO windlass_ended (job, queue, lane, moment, version, token, started_at, result)
SELECT job, queue, ?5, ?6, version + 1, token, started_at, ?7 FROM windlass_leases
WHERE job = ?1 AND queue = ?2 AND version = ?3 AND token = ?4

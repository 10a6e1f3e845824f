-- In:  ?1 seq.
-- Out: when the job expires, if that can still come to pass.
-- Why: the head of a line is looked at before its payload is read.
SELECT CASE WHEN started_at = -9223372036854775808 THEN expires END FROM windlass_jobs WHERE seq = ?1

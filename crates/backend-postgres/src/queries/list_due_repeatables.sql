-- In:  how many.
-- Out: due and record, the earliest first, also what is not yet due.
-- Why: the first that is not due, or does not fit, says when to look again.
SELECT due, record FROM windlass.repeatables WHERE due IS NOT NULL
ORDER BY due, queue, repeatable_key LIMIT $1

-- In:  nothing.
-- Out: what each said as JSON, since when and when last it was heard of.
-- Why: the number breaks ties in the order of arrival.
SELECT info, since, beat_at FROM windlass_workers ORDER BY since, number

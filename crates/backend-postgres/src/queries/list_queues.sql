-- In:  nothing.
-- Out: every queue's declaration and whether it is paused, by name.
-- Why: there are few.
SELECT spec, paused FROM windlass.queues ORDER BY name

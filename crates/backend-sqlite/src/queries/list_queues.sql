-- In:  nothing.
-- Out: declaration as JSON, whether it is paused, by name.
-- Why: names are ASCII, so that the byte order of the index is the order asked
--      for.
SELECT spec, paused FROM windlass_queues ORDER BY name

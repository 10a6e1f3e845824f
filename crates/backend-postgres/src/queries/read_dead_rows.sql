-- In:  nothing.
-- Out: how many dead rows the busiest tables hold.
-- Why: where they pile up, somebody keeps an old snapshot open.
SELECT coalesce(sum(s.n_dead_tup), 0)::bigint FROM pg_stat_user_tables s
WHERE s.relid IN ('windlass.ready'::regclass, 'windlass.leases'::regclass)

-- Stores a batch of new jobs of one queue, all or none (rules E1 to E4, N1).
-- arguments  4 on: see `store_jobs`
-- answer     ok, now, what became of each, duplicates and held keys, jobs to be
--            decided about, what is kept apart of these
--            refused, why (d dependency, p parent), number of the job, of the dependency
--            unknown: the queue was never declared
-- why        one step: uniqueness, dependencies and the sequence cannot be seen half
--            done. Looking comes first, so that a refusal has nothing to take back.
-- with       base write record meta partitions place pages dedup graph store_jobs
return once(function()
    if not know_queue() then return { 'unknown' } end
    local refused, letters, told = store_jobs(4)
    if refused then return { 'refused', refused[1], refused[2], refused[3] } end
    local shown, apart = show_named()
    return { 'ok', NOW, letters, told, shown, apart }
end)

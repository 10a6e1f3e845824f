-- Stores a repeatable, and the jobs it fires, if its version is as the guard says
-- (rules S1, S2).
-- arguments  4 key; 5 the version that must be stored (8), or nothing; 6 its version
--            (8); 7 when it is due (8; zeros: never); 8 the record; 9 on the jobs, as
--            in `store_jobs`
-- answer     ok, or stale and the record that is stored, or nothing
--            refused, why, number of the job, of the dependency
--            unknown: the queue was never declared
-- why        the record and its jobs in one step: of several that fire the same
--            moment, one does. `repeatables` has version (8), due (8), record by key;
--            `repeatables_due` the due moment (8) and the key.
-- with       base write record meta partitions place pages dedup graph store_jobs
return once(function()
    if not know_queue() then return { 'unknown' } end
    local key = ARGV[4]
    local stored = redis.call('HGET', K.repeatables, key)
    local version = stored and sub(stored, 1, 8) or ''
    if version ~= ARGV[5] then return { 'stale', stored and sub(stored, 17) or false } end
    local refused = store_jobs(9)
    if refused then return { 'refused', refused[1], refused[2], refused[3] } end
    if stored and sub(stored, 9, 16) ~= NONE then zrem_one(K.repeatables_due, sub(stored, 9, 16) .. key) end
    if ARGV[7] ~= NONE then zadd_one(K.repeatables_due, ARGV[7] .. key) end
    hset_one(K.repeatables, key, ARGV[6] .. ARGV[7] .. ARGV[8], stored)
    return { 'ok' }
end)

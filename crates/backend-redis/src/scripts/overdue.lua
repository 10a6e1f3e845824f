-- A page of what is overdue (rules L3, L4, R5, N5).
-- arguments  2 what (l lost leases, e expired, u unblocked), 3 the page starts behind
--            this place (moment, 8, and seq, 8; or nothing), 4 how many at most
-- answer     ok, now, ids and records, what is kept apart of these, whether there
--            are more
--            unknown: the queue was never declared
-- why        one look at one index, from a place on: what nobody can help holds
--            nothing up
-- with       base record meta
if not know_queue() then return { 'unknown' } end
local what, limit = ARGV[2], tonumber(ARGV[4])
local key, skip = K.leases, 16
if what == 'e' then key = K.expiring end
local from, to = '-', '(' .. NOW .. HIGH
if ARGV[3] ~= '' then from = '(' .. ARGV[3] .. HIGH end
if what == 'u' then
    key, skip, to = K.unblocked, 8, '+'
    -- It is not known since when; the sequence alone orders them.
    if ARGV[3] ~= '' then from = '(' .. sub(ARGV[3], 9) .. HIGH end
end
local found = redis.call('ZRANGEBYLEX', key, from, to, 'LIMIT', 0, limit + 1)
local ids = {}
for i = 1, min(limit, #found) do ids[i] = sub(found[i], skip + 1) end
local records = read_records(ids)
local shown, apart = show(ids, records, SUMMARY)
return { 'ok', NOW, shown, apart, #found > limit and 1 or 0 }

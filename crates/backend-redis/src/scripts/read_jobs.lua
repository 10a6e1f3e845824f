-- Jobs by their ids.
-- arguments  2 1 with payload and result or 0 without; 3 on the ids
-- answer     ok, now, ids and records of those that are stored, what is kept apart
-- why        one look
-- with       base record
local ids, found_ids, found = {}, {}, {}
for i = 3, #ARGV do ids[#ids + 1] = ARGV[i] end
for i, r in ipairs(read_records(ids)) do
    if r then
        found_ids[#found_ids + 1], found[#found + 1] = ids[i], r
    end
end
local shown, apart = show(found_ids, found, ARGV[2] == '1' and FULL or SUMMARY)
return { 'ok', NOW, shown, apart }

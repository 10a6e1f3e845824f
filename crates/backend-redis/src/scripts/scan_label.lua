-- A piece of the jobs that have a label, by enqueue sequence (rule Q5).
-- arguments  2 f forwards or b backwards; 3 behind this sequence number (8), or
--            nothing; 4 states to show (letters); 5 1 with payload and result or 0;
--            6 the label
-- answer     as `scan`
-- why        labels have an index, so that few are found among many
-- with       base record
local prefix = spack('>I2', #ARGV[6]) .. ARGV[6]
local found
if ARGV[2] == 'f' then
    local from = '[' .. prefix
    if ARGV[3] ~= '' then from = '(' .. prefix .. ARGV[3] .. HIGH end
    found = redis.call('ZRANGEBYLEX', K.labels, from, '(' .. prefix .. HIGH, 'LIMIT', 0, 500)
else
    local from = '(' .. prefix .. HIGH
    if ARGV[3] ~= '' then from = '(' .. prefix .. ARGV[3] end
    found = redis.call('ZREVRANGEBYLEX', K.labels, from, '[' .. prefix, 'LIMIT', 0, 500)
end
local all = {}
for i = 1, #found do all[i] = sub(found[i], -16) end
local ids, records = {}, {}
for i, r in ipairs(read_records(all)) do
    if r and string.find(ARGV[4], is_pending(r) and 'p' or sub(r, 1, 1), 1, true) then
        ids[#ids + 1], records[#records + 1] = all[i], r
    end
end
local shown, apart = show(ids, records, ARGV[5] == '1' and FULL or SUMMARY)
local last = ''
if #found == 500 then last = sub(found[#found], #prefix + 1, #prefix + 8) end
return { 'ok', NOW, shown, apart, last }

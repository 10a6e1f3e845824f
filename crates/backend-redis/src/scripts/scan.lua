-- A piece of all jobs of a queue, by enqueue sequence (rule Q5).
-- arguments  2 f forwards or b backwards; 3 behind this sequence number (8), or
--            nothing; 4 states to show (letters); 5 1 with payload and result or 0
-- answer     ok, now, ids and records, what is kept apart, the sequence number to go
--            on behind, or nothing if this was all
-- why        so many pages at a time; whoever asked looks through them
-- with       base record pages
local forwards, after = ARGV[2] == 'f', ARGV[3]
local fields
if forwards then
    local from = '-'
    if after ~= '' then from = '[' .. spack('>I6', floor((max(1, sunpack('>I6', after)) - 1) / PAGE)) end
    fields = redis.call('ZRANGEBYLEX', K.page_order, from, '+', 'LIMIT', 0, 17)
else
    local from = '+'
    if after ~= '' then from = '[' .. spack('>I6', floor((max(1, sunpack('>I6', after)) - 1) / PAGE)) end
    fields = redis.call('ZREVRANGEBYLEX', K.page_order, from, '-', 'LIMIT', 0, 17)
end
local more = #fields == 17
fields[17] = nil
local ids, records, last = {}, {}, ''
for i, page in ipairs(hmget(K.pages, fields)) do
    local of_page = ids_in(page)
    local found = read_records(of_page)
    local from, to, step = 1, #found, 1
    if not forwards then from, to, step = #found, 1, -1 end
    local first = sunpack('>I6', fields[i]) * PAGE
    for j = from, to, step do
        local r = found[j]
        if r and sub(r, 10, 15) == spack('>I6', first + j) then
            local is_behind = after == ''
            if forwards then
                is_behind = is_behind or is_before(after, sub(r, 10, 17))
            else
                is_behind = is_behind or is_before(sub(r, 10, 17), after)
            end
            local state = is_pending(r) and 'p' or sub(r, 1, 1)
            if is_behind and string.find(ARGV[4], state, 1, true) then
                ids[#ids + 1], records[#records + 1] = of_page[j], r
            end
        end
    end
    -- The last, or first, that can be in it.
    last = spack('>I6', first + (forwards and PAGE or 1)) .. (forwards and '\255\255' or '\0\0')
end
local shown, apart = show(ids, records, ARGV[5] == '1' and FULL or SUMMARY)
return { 'ok', NOW, shown, apart, more and last or '' }

-- What this queue has to tell others, and which of its jobs are in doubt whether
-- another queue's job has ended.
-- arguments  2 how far the outbox was read (0 from the beginning, or nothing: it is
--            read), 3 the doubts behind this id, or nothing
-- answer     ok, now, field and value of each, how far this came (0: to the end), ids
-- why        the sweep's look: whoever was to tell it may have died
-- with       base
local cursor, found, after = '0', {}, '-'
if ARGV[2] ~= '' then
    local page = redis.call('HSCAN', K.outbox, ARGV[2], 'COUNT', 1000)
    cursor, found = page[1], page[2]
end
if ARGV[3] ~= '' then after = '(' .. ARGV[3] end
return { 'ok', NOW, found, cursor, redis.call('ZRANGEBYLEX', K.doubts, after, '+', 'LIMIT', 0, 100) }

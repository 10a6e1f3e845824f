-- The recorded steps of a job, by position (rule W1).
-- arguments  2 its id
-- answer     ok, now, of each: position (4), length of its name (2), name, outcome
-- why        one look
-- with       base
local order = redis.call('ZRANGEBYLEX', K.step_order, '[' .. ARGV[2], '(' .. ARGV[2] .. HIGH)
local found = {}
for i, step in ipairs(hmget(K.steps, order)) do found[i] = sub(order[i], 17) .. step end
return { 'ok', NOW, found }

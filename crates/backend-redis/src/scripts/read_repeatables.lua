-- Repeatables of a queue (rule S6).
-- arguments  2 o one, a all, d those that are due, the earliest first; 3 the
--            key, or how many
-- answer     ok, now, the due moment and record of each, when the next one that is not
--            among them is due (for d), or nothing
-- why        one look
-- with       base
local found, following = {}, false
if ARGV[2] == 'o' then
    local stored = redis.call('HGET', K.repeatables, ARGV[3])
    if stored then found[1] = sub(stored, 9) end
elseif ARGV[2] == 'a' then
    local all = redis.call('HGETALL', K.repeatables)
    for i = 2, #all, 2 do found[#found + 1] = sub(all[i], 9) end
else
    local limit = tonumber(ARGV[3])
    local due = redis.call('ZRANGE', K.repeatables_due, 0, limit)
    for i = 1, #due do
        local moment = sub(due[i], 1, 8)
        if is_before(NOW, moment) or i > limit then
            following = moment
            break
        end
        local stored = redis.call('HGET', K.repeatables, sub(due[i], 9))
        if stored then found[#found + 1] = sub(stored, 9) end
    end
end
return { 'ok', NOW, found, following }

-- Repeatables of a queue (rule S6).
-- arguments  2 o one, a all by key, d those that are due, the earliest first; 3 the
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
    local by_key, keys = {}, {}
    for i = 1, #all, 2 do
        keys[#keys + 1] = all[i]
        by_key[all[i]] = sub(all[i + 1], 9)
    end
    table.sort(keys)
    for i, key in ipairs(keys) do found[i] = by_key[key] end
else
    local limit = tonumber(ARGV[3])
    local due = redis.call('ZRANGE', K.repeatables_due, 0, limit)
    for i = 1, #due do
        local moment = sub(due[i], 1, 8)
        if moment > NOW or i > limit then
            following = moment
            break
        end
        local stored = redis.call('HGET', K.repeatables, sub(due[i], 9))
        if stored then found[#found + 1] = sub(stored, 9) end
    end
end
return { 'ok', NOW, found, following }

-- Who depends on a job (rule N2).
-- arguments  2 its id
-- answer     ok, now, of each: its id and the name of its queue (nothing: this one)
-- why        one look; the jobs themselves may stand elsewhere
-- with       base
local id, found = ARGV[2], {}
for i, member in ipairs(redis.call('ZRANGEBYLEX', K.needers, '[' .. id, '(' .. id .. HIGH .. HIGH .. HIGH)) do
    found[i] = sub(member, 17)
end
return { 'ok', NOW, found }

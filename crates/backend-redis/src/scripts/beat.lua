-- Notes a worker's sign of life, or that it has left.
-- arguments  4 its id (16); 5 what it says of itself, or nothing: it has left; 6 after
--            how much silence another one is forgotten (8)
-- answer     ok
-- why        `workers` has since when (8), heard of last (8), what it says, by id
-- full       goes on: who is there is seen
-- with       base write
return once(function()
    if ARGV[5] == '' then
        hdel_one(K.workers, ARGV[4])
        return { 'ok' }
    end
    local all = redis.call('HGETALL', K.workers)
    local since = NOW
    for i = 1, #all, 2 do
        if all[i] == ARGV[4] then
            since = sub(all[i + 1], 1, 8)
        elseif not is_before(NOW, later(sub(all[i + 1], 9, 16), ARGV[6])) then
            hdel_one(K.workers, all[i])
        end
    end
    hset_one(K.workers, ARGV[4], since .. NOW .. ARGV[5], redis.call('HGET', K.workers, ARGV[4]))
    return { 'ok' }
end)

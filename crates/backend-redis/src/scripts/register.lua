-- Gives a queue its number among all of the store, or says which it has.
-- arguments  4 its name; 5 1 if it has repeatables or 0
-- answer     ok, the number
-- why        the number is part of every enqueue sequence, so that listings over several
--            queues have one order. A queue is known here before it is declared, so
--            that none is overlooked.
-- with       base write
return once(function()
    local number = redis.call('HGET', K.queues, ARGV[4])
    if not number then
        number = redis.call('HLEN', K.queues) + 1
        if number > 65535 then return redis.error_reply('ERR there are 65535 queues already') end
        hset_one(K.queues, ARGV[4], number, false)
    end
    if ARGV[5] == '1' and redis.call('HEXISTS', K.repeating, ARGV[4]) == 0 then
        hset_one(K.repeating, ARGV[4], '1', false)
    end
    return { 'ok', tonumber(number) }
end)

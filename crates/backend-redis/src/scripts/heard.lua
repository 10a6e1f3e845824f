-- Forgets what another queue has heard, or settled doubts.
-- arguments  4 on: o and field, value as they were told; or d and an id whose doubts
--            about other queues' jobs are settled
-- answer     ok
-- why        what was told anew meanwhile is another value, and stays
-- full       goes on: it makes room
-- with       base write
return once(function()
    local at = 4
    while at <= #ARGV do
        if ARGV[at] == 'o' then
            if redis.call('HGET', K.outbox, ARGV[at + 1]) == ARGV[at + 2] then hdel_one(K.outbox, ARGV[at + 1]) end
            at = at + 3
        else
            zrem_one(K.doubts, ARGV[at + 1])
            at = at + 2
        end
    end
    return { 'ok' }
end)

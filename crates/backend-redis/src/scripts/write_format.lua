-- Keeps in which form the store is kept, unless somebody has.
-- arguments  4 the form
-- answer     ok
-- why        apart from asking: who finds a store writes nothing
-- with       base write
return once(function()
    if redis.call('HEXISTS', K.store, 'format') == 0 then
        hset_one(K.store, 'format', ARGV[4], false)
    end
    return { 'ok' }
end)

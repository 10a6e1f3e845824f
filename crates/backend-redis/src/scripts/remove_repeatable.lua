-- Removes a repeatable; its jobs stay (rule S6).
-- arguments  4 key
-- answer     ok, 1 there was one or 0
-- why        one step
-- full       goes on: it makes room
-- with       base write
return once(function()
    local stored = hdel_one(K.repeatables, ARGV[4])
    if not stored then return { 'ok', 0 } end
    if sub(stored, 9, 16) ~= NONE then zrem_one(K.repeatables_due, sub(stored, 9, 16) .. ARGV[4]) end
    return { 'ok', 1 }
end)

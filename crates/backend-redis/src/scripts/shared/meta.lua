-- The queue: its declaration's bounds and its counters.
--   s the declaration   b the bounds   p whether it is paused   k how many times that was
--   said   v the name of the declaration (its hash)   q the last enqueue sequence   t the last token   w starts in
--   the window of its rate
--   f up to which enqueue sequence the main line was taken   n how many stand in it
--   l the place of the last one   c f x e (with an e before) how many ended so
-- Bounds: number of the queue (2), whether it is partitioned (1), then of the queue
-- and of each partition: leases at once (4), starts (4), their period (8).
local NO_BOUND = 4294967295
local meta = {}

-- Reads it; answers whether the queue is known.
local function know_queue()
    local found = redis.call('HMGET', K.meta, 'b', 'p', 'v', 'w', 'q', 't', 'f', 'n', 'l')
    local bounds = found[1]
    if not bounds then return false end
    meta.number = sub(bounds, 1, 2)
    meta.is_partitioned = byte(bounds, 3) == 1
    meta.leases, meta.starts = sunpack('>I4I4', bounds, 4)
    meta.period = sub(bounds, 12, 19)
    meta.own_leases, meta.own_starts = sunpack('>I4I4', bounds, 20)
    meta.own_period = sub(bounds, 28, 35)
    meta.is_paused = found[2] == '1'
    meta.declared = found[3]
    meta.window = found[4]
    meta.in_window = tonumber(found[4] or '0')
    meta.last = tonumber(found[5] or '0')
    meta.token = tonumber(found[6] or '0')
    meta.front = tonumber(found[7] or '0')
    meta.in_line = tonumber(found[8] or '0')
    meta.last_place = found[9] or NONE
    return true
end

-- Partitions. Their lines stand one behind the other in `lines`: partition (its
-- length in 2), order key (24), id (16), due (8). `heads` has the heads that can
-- start now, in the order of the queue: order key, id, due, partition. `parts` has, of
-- each partition that has leases or is among the heads, its number of leases (4)
-- and its entry there. `openings` has when time opens one that somebody waits for;
-- `fading` when the starts of one that nobody waits for can be forgotten.
local touched, touched_list = {}, {}

-- Notes that a partition has so many leases more, and is to be judged.
local function touch(partition, leases)
    local before = touched[partition]
    if not before then touched_list[#touched_list + 1] = partition end
    touched[partition] = (before or 0) + leases
end

local function line_prefix(partition)
    return spack('>I2', #partition) .. partition
end

-- Behind everything in a line.
local LINE_END = rep(char(255), 25)

local function line_member(r, id, partition)
    return line_prefix(partition) .. order_key(r) .. id .. sub(r, 34, 41)
end

-- How many starts of its window a partition has, and which was the first.
local function own_starts(prefix)
    local horizon = earlier(NOW, meta.own_period)
    local old = redis.call('ZRANGEBYLEX', K.own_starts, '[' .. prefix, '(' .. prefix .. horizon .. HIGH)
    if #old > 0 then zrem(K.own_starts, old) end
    local first = redis.call('ZRANGEBYLEX', K.own_starts, '[' .. prefix, '(' .. prefix .. HIGH, 'LIMIT', 0, 1)[1]
    if not first then return 0 end
    local count = redis.call('ZLEXCOUNT', K.own_starts, '[' .. prefix, '(' .. prefix .. HIGH)
    return count, sub(first, #prefix + 1, #prefix + 8)
end

-- Judges the partitions that were touched: which head can start, and when time
-- opens one.
local function judge_touched()
    if #touched_list == 0 then return end
    local known = hmget(K.parts, touched_list)
    local before, set, gone, listed, unlisted = {}, {}, {}, {}, {}
    for i = 1, #touched_list do
        local partition = touched_list[i]
        local part = known[i]
        before[partition] = part
        local leases, entry = 0, ''
        if part then leases, entry = sunpack('>I4', part), sub(part, 5) end
        leases = max(0, leases + touched[partition])
        local prefix, wanted, opens = line_prefix(partition), '', nil
        local closed, is_fading = leases >= meta.own_leases, false
        local again, count, first
        if meta.own_starts ~= NO_BOUND then
            count, first = own_starts(prefix)
            if first then again = later(first, meta.own_period) end
            if not closed and count >= meta.own_starts then
                closed = true
                opens = again or NEVER
            end
        end
        if not closed or opens then
            local head = redis.call('ZRANGEBYLEX', K.lines, '[' .. prefix, '(' .. prefix .. LINE_END, 'LIMIT', 0, 1)[1]
            if not head then
                opens, is_fading = again, true
            elseif not closed then
                local due = sub(head, -8)
                if not is_before(NOW, due) then
                    wanted = sub(head, #prefix + 1) .. partition
                else
                    opens = due
                end
            elseif is_before(opens, sub(head, -8)) then
                opens = sub(head, -8)
            end
        else
            opens, is_fading = again, true
        end
        if opens and opens ~= NEVER then
            zadd_one(is_fading and K.fading or K.openings, opens .. partition)
        end
        if entry ~= wanted then
            if entry ~= '' then unlisted[#unlisted + 1] = entry end
            if wanted ~= '' then
                listed[#listed + 1] = '0'
                listed[#listed + 1] = wanted
            end
        end
        if leases == 0 and wanted == '' then
            if part then gone[#gone + 1] = partition end
        else
            local now = spack('>I4', leases) .. wanted
            if now ~= part then
                set[#set + 1] = partition
                set[#set + 1] = now
            end
        end
    end
    zrem(K.heads, unlisted)
    zadd(K.heads, listed)
    hset(K.parts, set, before)
    hdel(K.parts, gone, before)
    touched, touched_list = {}, {}
end

-- Writing. A script first looks, and then writes; should a call fail all the same,
-- what was written before it is taken back, so that nothing is left half done.
-- Lists are written in bounded pieces: `unpack` has a limit.
local PIECE = 2000
local undo = {}

-- Adds members to a sorted set; they are new. `list` is '0', member, '0', member, …
local function zadd(key, list)
    for from = 1, #list, PIECE do
        local to = min(from + PIECE - 1, #list)
        undo[#undo + 1] = function()
            for i = from + 1, to, 2 do redis.call('ZREM', key, list[i]) end
        end
        redis.call('ZADD', key, unpack(list, from, to))
    end
end

local function zadd_one(key, member)
    if redis.call('ZADD', key, '0', member) == 1 then
        undo[#undo + 1] = function() redis.call('ZREM', key, member) end
    end
end

-- Takes members out of a sorted set; they are there.
local function zrem(key, list)
    for from = 1, #list, PIECE do
        local to = min(from + PIECE - 1, #list)
        undo[#undo + 1] = function()
            for i = from, to do redis.call('ZADD', key, '0', list[i]) end
        end
        redis.call('ZREM', key, unpack(list, from, to))
    end
end

-- The same for one that may not be there. Answers whether it was.
local function zrem_one(key, member)
    if redis.call('ZREM', key, member) == 0 then return false end
    undo[#undo + 1] = function() redis.call('ZADD', key, '0', member) end
    return true
end

local function restore(key, field, value)
    if value then
        redis.call('HSET', key, field, value)
    else
        redis.call('HDEL', key, field)
    end
end

-- Sets fields of a hash: `list` is field, value, …; `before` has what was there.
local function hset(key, list, before)
    for from = 1, #list, PIECE do
        local to = min(from + PIECE - 1, #list)
        undo[#undo + 1] = function()
            for i = from, to, 2 do restore(key, list[i], before[list[i]]) end
        end
        redis.call('HSET', key, unpack(list, from, to))
    end
end

local function hset_one(key, field, value, before)
    undo[#undo + 1] = function() restore(key, field, before) end
    redis.call('HSET', key, field, value)
end

-- Deletes fields of a hash; `before` has what was there.
local function hdel(key, list, before)
    for from = 1, #list, PIECE do
        local to = min(from + PIECE - 1, #list)
        undo[#undo + 1] = function()
            for i = from, to do restore(key, list[i], before[list[i]]) end
        end
        redis.call('HDEL', key, unpack(list, from, to))
    end
end

-- The same for one whose value nobody has read yet. Answers what it was.
local function hdel_one(key, field)
    local before = redis.call('HGET', key, field)
    if before then
        undo[#undo + 1] = function() redis.call('HSET', key, field, before) end
        redis.call('HDEL', key, field)
    end
    return before
end

-- Adds to a counter.
local function count_up(key, field, difference)
    if difference == 0 then return end
    redis.call('HINCRBY', key, field, difference)
    -- Unlike the others this cannot be taken back before it is done.
    undo[#undo + 1] = function() redis.call('HINCRBY', key, field, -difference) end
end

-- One command that comes when all else is written, so that it never has to be taken
-- back: it deletes what nobody has read.
local finally

-- Runs a script's work. An operation that was carried out before (its answer was
-- lost on the way, and it was sent again) is not carried out twice: its answer is
-- given again. Operations of a client have numbers, and few are under way at once:
-- for each of so many slots the last one is remembered. Work answers what is to be
-- answered and, where that is not what is remembered, what is: false for nothing, where
-- nothing was changed. What is given again counts as written by this connection all the
-- same: else WAIT would have nothing to wait for.
-- A slot is given to an operation only when the one before has come to its end: should
-- that one arrive once more behind it, long delayed on its way, nobody waits for it.
--   ARGV[2] the slot; ARGV[3] the number, 8 bytes
local function once(work, recall)
    local seen = redis.call('HGET', K.ops, ARGV[2])
    if seen and sub(seen, 1, 8) == ARGV[3] then
        redis.call('PEXPIRE', K.ops, 3600000)
        local answer = cmsgpack.unpack(sub(seen, 9))
        if recall then return recall(answer) end
        return answer
    end
    if seen and is_before(ARGV[3], seen) then
        return redis.error_reply('ERR a later call has followed this one')
    end
    local ok, answer, kept = pcall(work)
    if ok and kept == false then return answer end
    if ok then
        local entry = ARGV[3] .. cmsgpack.pack(kept or answer)
        ok, answer = pcall(function()
            hset_one(K.ops, ARGV[2], entry, seen)
            -- A client that has gone is forgotten after an hour.
            if not seen or sub(seen, 1, 7) ~= sub(ARGV[3], 1, 7) then
                redis.call('PEXPIRE', K.ops, 3600000)
            end
            if finally then redis.call(unpack(finally)) end
            return answer
        end)
        if ok then return answer end
    end
    for i = #undo, 1, -1 do undo[i]() end
    if type(answer) == 'table' then return answer end
    -- Why a command was refused begins with a code, such as OOM, and what a script
    -- breaks on does not.
    local why = tostring(answer)
    if not string.find(why, '^%u+ ') then why = 'ERR ' .. why end
    return redis.error_reply(why)
end

-- Jobs that have ended, in the order in which they did. Of each state (c, f, x, e),
-- `ends` has pages, by the state and the number of the page (6): moment (8), how many
-- ended then (2), and their ids (16 each); and so on. `end_order` has which pages there
-- are; `meta` has how many jobs ended so. An entry whose job has ended at another moment,
-- or not at all, says nothing.
--
-- A page of fewer bytes is added to; so many jobs are put in at once.
local GROWING, MOST = 400, 256

local function group(moment, ids, from, to)
    return moment .. spack('>I2', to - from + 1) .. table.concat(ids, '', from, to)
end

-- Adds jobs that end now in a state.
local function add_ends(state, ids)
    local last = redis.call('ZREVRANGEBYLEX', K.end_order, '(' .. state .. HIGH, '[' .. state, 'LIMIT', 0, 1)[1]
    local number, at = 0, 1
    if last then
        number = sunpack('>I6', last, 2)
        if redis.call('HSTRLEN', K.ends, last) < GROWING then
            local stored = redis.call('HGET', K.ends, last)
            local to = min(#ids, MOST)
            hset_one(K.ends, last, stored .. group(NOW, ids, 1, to), stored)
            at = to + 1
        end
    end
    while at <= #ids do
        local to = min(#ids, at + MOST - 1)
        number = number + 1
        local page = state .. spack('>I6', number)
        hset_one(K.ends, page, group(NOW, ids, at, to), false)
        zadd_one(K.end_order, page)
        at = to + 1
    end
    count_up(K.meta, 'e' .. state, #ids)
end

-- Notes that a job has left a state that it had ended in.
local function drop_end(state)
    count_up(K.meta, 'e' .. state, -1)
end

-- The ids of a page, and when they ended.
local function ends_in(page)
    local ids, moments, at = {}, {}, 1
    while at < #page do
        local moment, count = sub(page, at, at + 7), sunpack('>I2', page, at + 8)
        at = at + 10
        for _ = 1, count do
            ids[#ids + 1], moments[#moments + 1] = sub(page, at, at + 15), moment
            at = at + 16
        end
    end
    return ids, moments
end

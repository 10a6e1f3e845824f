-- Jobs that have ended, in the order in which they did. Of each state (c, f, x, e),
-- `ends` has pages: moment (8) and id (16) of each, by the state and the number of the
-- page (6); `end_order` has which pages there are; `meta` has how many jobs ended so.
-- An entry whose job has ended at another moment, or not at all, says nothing.
local END = 24
-- So many entries are added to; what is added at once may be more.
local GROWING, MOST = 16, 256

-- Adds entries to those of a state. `list` has moment and id together.
local function add_ends(state, list)
    if #list == 0 then return end
    local last = redis.call('ZREVRANGEBYLEX', K.end_order, '(' .. state .. HIGH, '[' .. state, 'LIMIT', 0, 1)[1]
    local number, stored = 0, ''
    if last then
        number = sunpack('>I6', last, 2)
        stored = redis.call('HGET', K.ends, last)
    end
    local at = 1
    if last and #stored < GROWING * END then
        local to = min(#list, MOST - #stored / END)
        hset_one(K.ends, last, stored .. table.concat(list, '', 1, to), stored)
        at = to + 1
    end
    while at <= #list do
        local to = min(#list, at + MOST - 1)
        number = number + 1
        local page = state .. spack('>I6', number)
        hset_one(K.ends, page, table.concat(list, '', at, to), false)
        zadd_one(K.end_order, page)
        at = to + 1
    end
    count_up(K.meta, 'e' .. state, #list)
end

-- Notes that a job has left a state that it had ended in.
local function drop_end(state)
    count_up(K.meta, 'e' .. state, -1)
end

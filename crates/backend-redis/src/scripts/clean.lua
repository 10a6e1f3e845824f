-- Removes ended jobs of one state for good (rules N5, Q3 and Q4).
-- arguments  4 the state (c, f, x, e); 5 those that ended until this moment; or 6 all
--            but so many (or nothing); 7 how many at most; 8 behind this page, where a
--            call before this one came to, or nothing; 9 how many were passed over there
-- answer     ok, ids of those that went, the page, how many were passed over, 1 there
--            may be more or 0, messages for other queues
--            unknown: the queue was never declared
-- why        a bounded piece: whoever wants more calls again. Those that others still
--            depend on are passed over; but somebody who was to be stored and to depend
--            on one, and was not within an hour, never will be.
-- full       goes on: it makes room
-- with       base write record meta partitions place pages ends settle dedup graph remove
local HOUR = spack('>I4I4', 0, 3600000000)

-- Forgets those that were to depend on a job too long ago. Answers whether that was all.
local function forget_promises(id)
    for _, needer in ipairs(redis.call('ZRANGEBYLEX', K.needers, '[' .. id, '(' .. id .. HIGH .. HIGH .. HIGH)) do
        local other = sub(needer, 17, 32)
        local state = redis.call('HGET', K.needer_state, id .. other)
        -- Those that have ended keep nothing.
        if state and sub(state, 2, 2) == '1' then
            if #state == 8 or is_before(NOW, later(sub(state, 9), HOUR)) then return false end
            hear_need(id, other, sub(needer, 33), 'g', '')
        end
    end
    return true
end

return once(function()
    if not know_queue() then return { 'unknown' } end
    local state, limit = ARGV[4], min(tonumber(ARGV[7]), 500)
    local passed_over, bound = tonumber(ARGV[9]), math.huge
    if ARGV[6] ~= '' then
        local total = tonumber(redis.call('HGET', K.meta, 'e' .. state) or '0')
        bound = total - tonumber(ARGV[6]) - passed_over
    end
    local from = '[' .. state
    if ARGV[8] ~= '' then from = '(' .. ARGV[8] end
    local pages = redis.call('ZRANGEBYLEX', K.end_order, from, '(' .. state .. HIGH, 'LIMIT', 0, 8)
    -- It is over when no later job may go, and full when this piece has as many as it may.
    local went, taken, last, is_over, is_full = {}, {}, ARGV[8], bound <= 0, false
    for p = 1, #pages do
        if is_over or is_full then break end
        local page = redis.call('HGET', K.ends, pages[p])
        local ids, moments = ends_in(page)
        local records, needed, left, kept_here = read_records(ids), hmget(K.needed, ids), {}, 0
        for i = 1, #ids do
            local r, id = records[i], ids[i]
            -- An entry may say nothing any more.
            if r and sub(r, 1, 1) == state and sub(r, 56, 63) == moments[i] and not taken[id] then
                is_full = is_full or #went >= limit
                is_over = is_over or is_before(ARGV[5], moments[i]) or #went + kept_here >= bound
                local goes_on = not is_over and not is_full
                local kept = needed[i]
                if kept and goes_on and forget_promises(id) then
                    kept = false
                end
                if kept or not goes_on then
                    left[#left + 1] = group(moments[i], ids, i, i)
                    if goes_on then kept_here = kept_here + 1 end
                else
                    taken[id] = true
                    went[#went + 1] = id
                    load(id)
                    remove(r, id)
                end
            end
        end
        if #left == 0 then
            hdel_one(K.ends, pages[p])
            zrem_one(K.end_order, pages[p])
        elseif #left < #ids then
            hset_one(K.ends, pages[p], table.concat(left), page)
        end
        -- What is left of a page that was not gone through to its end is looked at again.
        if not is_over and not is_full then
            last, passed_over, bound = pages[p], passed_over + kept_here, bound - kept_here
        end
    end
    count_up(K.meta, 'e' .. state, -#went)
    flush_records()
    flush_removed()
    local more = #pages > 0 and not is_over and 1 or 0
    return { 'ok', table.concat(went), last, passed_over, more, messages(1000) }
end)

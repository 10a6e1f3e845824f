-- Leases the first jobs of the main line, where no others can be meant (rules O1, L1).
-- arguments  as `dequeue`
-- answer     as `dequeue`; or careful: what is asked for is a case for that
-- why        what a short call costs is mostly what its script declares: this one
--            declares little. The main line is most of what most queues have.
-- full       goes on: what waits is run, and can go
-- with       base write meta pages lease
local function answer(when, shown)
    local spec = false
    if ARGV[7] ~= meta.declared then spec = redis.call('HGET', K.meta, 's') end
    return { 'ok', NOW, when, meta.declared, spec, shown, {} }
end

return once(function()
    if not know_queue() then return { 'unknown' } end
    local until_now = '(' .. NOW .. HIGH
    if meta.is_paused or meta.is_partitioned or meta.leases ~= NO_BOUND or meta.starts ~= NO_BOUND
        or #redis.call('ZRANGEBYLEX', K.sched, '-', until_now, 'LIMIT', 0, 1) > 0
        or #redis.call('ZRANGEBYLEX', K.parking, '-', until_now, 'LIMIT', 0, 1) > 0 then
        return { 'careful' }, false
    end
    local wanted, token = tonumber(ARGV[5]), meta.token
    local ids, fixed, _, front = next_in_line(wanted)
    -- Others wait, too, and may have to come first.
    local other = redis.call('ZRANGE', K.ready, 0, 0)[1]
    if other and wanted > 0 and (#ids < wanted or is_first(other, fixed[wanted])) then
        return { 'careful' }, false
    end
    local lives = hmget(K.lives, ids)
    for i = 1, #ids do
        if lives[i] then return { 'careful' }, false end
    end
    holder = ARGV[4] .. NOW
    lease(ids, fixed, lives, later(NOW, ARGV[6]))
    local left = meta.in_line - #ids
    if meta.token ~= token or front ~= meta.front then
        hset(K.meta, { 't', meta.token, 'f', front, 'n', left }, { t = token, f = meta.front, n = meta.in_line })
    end
    -- The line was looked through as far as one call should, and there is more of it.
    if #ids == 0 and wanted > 0 and left > 0 then return { 'more' } end
    local when = 'e'
    if left > 0 or other then
        when = 'n'
    else
        local first = redis.call('ZRANGE', K.sched, 0, 0)[1]
        if first then when = 'a' .. sub(first, 1, 8) end
    end
    if #ids == 0 then return answer(when, taken), false end
    return answer(when, taken), { 'ok', NOW, when, table.concat(taken_ids), token }
end, function(kept)
    -- Which of them are still leased as they were then.
    if kept[1] ~= 'ok' then return kept end
    know_queue()
    local shown, token = {}, kept[5]
    for at = 1, #kept[4], 16 do
        local id = sub(kept[4], at, at + 15)
        local life = redis.call('HGET', K.lives, id)
        token = token + 1
        if life and sub(life, 1, 1) == 'a' and sub(life, 10, 15) == spack('>I6', token) then
            shown[#shown + 1], shown[#shown + 2] = redis.call('HGET', K.jobs, id), life
        end
    end
    return answer(kept[3], shown)
end)

-- Makes leases last longer, and keeps what jobs tell of themselves (rule L2).
-- arguments  4 on, of each: id (16), token (6), length (8); progress, or nothing
-- answer     ok, now, of each: l lost, h held, H held and asked to stop, with the end
-- why        the end of a lease is with the job and in `leases`, in one step
-- full       goes on: work comes to its end
-- with       base write record meta graph
return once(function()
    local answers = {}
    for at = 4, #ARGV, 2 do
        local wish, progress = ARGV[at], ARGV[at + 1]
        local id = sub(wish, 1, 16)
        local r = load(id)
        if not r or sub(r, 1, 1) ~= 'a' or sub(r, 50, 55) ~= sub(wish, 17, 22) then
            answers[#answers + 1] = 'l'
        else
            local until_, before, apart = later(NOW, sub(wish, 23, 30)), sub(r, 56, 63), byte(r, 3)
            local seq = sub(r, 10, 17)
            if progress ~= '' then
                local old = redis.call('HGET', K.blobs, id .. 'g')
                hset_one(K.blobs, id .. 'g', progress, old)
                apart = bor(apart, PROGRESS)
            end
            if until_ ~= before then
                zrem_one(K.leases, before .. seq .. id)
                zadd_one(K.leases, until_ .. seq .. id)
            end
            store(id, sub(r, 1, 2) .. char(apart) .. sub(r, 4, 55) .. until_ .. sub(r, 64))
            local asked = band(byte(r, 2), ASKED) ~= 0
            answers[#answers + 1] = (asked and 'H' or 'h') .. until_
        end
    end
    flush_records()
    return { 'ok', NOW, answers }
end)

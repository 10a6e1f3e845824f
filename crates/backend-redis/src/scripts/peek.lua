-- Which of a batch's jobs would be stored, as far as this queue can say.
-- arguments  2 on, of each: id (16), deduplication key or nothing
-- answer     ok, now, of each: e there is a job with this id, t its key is taken, - neither
--            unknown: the queue was never declared
-- why        a batch over several queues is looked at as a whole before any of it is
--            stored
-- with       base write record meta dedup
if not know_queue() then return { 'unknown' } end
local letters = {}
for at = 2, #ARGV do
    local id, key = sub(ARGV[at], 1, 16), sub(ARGV[at], 17)
    local letter = '-'
    if redis.call('HEXISTS', K.jobs, id) == 1 then
        letter = 'e'
    elseif key ~= '' and holder_of(key) then
        letter = 't'
    end
    letters[#letters + 1] = letter
end
return { 'ok', NOW, table.concat(letters) }

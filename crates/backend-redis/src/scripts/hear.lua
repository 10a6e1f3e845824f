-- Hears what another queue has to tell (rules N1, N2, N5).
-- arguments  4 the name of that queue; 5 on, of each: what is told as it stands in
--            `outbox`: c, dependency, dependent, how it ended; or n, dependency,
--            dependent, l o g or u and a version
-- answer     ok, now, jobs to be decided about, what is kept apart of these
-- why        the second half of what a job's end means for others. All of it says how
--            things are: hearing it twice does no harm.
-- full       goes on: an end is told to those who wait for it
-- with       base write record meta graph
return once(function()
    local ends = {}
    for at = 5, #ARGV do
        local told = ARGV[at]
        local dependency, id = sub(told, 2, 17), sub(told, 18, 33)
        if sub(told, 1, 1) == 'c' then
            ends[#ends + 1] = id .. dependency .. sub(told, 34, 34)
        else
            hear_need(dependency, id, ARGV[4], sub(told, 34, 34), sub(told, 35, 40))
        end
    end
    count_ends(ends)
    flush_records()
    local shown, apart = show_named()
    return { 'ok', NOW, shown, apart }
end)

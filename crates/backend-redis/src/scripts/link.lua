-- Notes with jobs of this queue that jobs of another one depend on them, and says how
-- they stand (rule N1).
-- arguments  4 the name of the other queue; 5 on, of each: the dependency (16), the
--            dependent (16), r it will depend on it, n it does, or a only ask
-- answer     ok, now, of each: o open, c completed, b broken, - there is none
-- why        the first step of a dependency between two queues, and its last: the
--            dependent is stored in between. From the first on the dependency is not
--            cleaned; noting twice changes nothing.
-- with       base write record meta graph
return once(function()
    local edges = {}
    for at = 5, #ARGV do edges[#edges + 1] = ARGV[at] end
    local stands = link(edges, ARGV[4])
    flush_records()
    return { 'ok', NOW, table.concat(stands) }
end)

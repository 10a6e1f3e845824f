s.seq BETWEEN $1 AND $2
        AND ($4 >> CASE WHEN s.lane NOT IN (1, 2) THEN s.lane::int
                        WHEN s.due > windlass.clock($3) THEN 1 ELSE 2 END) & 1 = 1
        AND ($5::text IS NULL OR s.job_type = $5)
        AND NOT EXISTS (
            SELECT 1 FROM unnest($6::smallint[], $7::text[]) AS wanted(kind, label)
            WHERE NOT EXISTS (SELECT 1 FROM windlass.labels l WHERE l.kind = wanted.kind
                                  AND l.label = wanted.label AND l.seq = s.seq))

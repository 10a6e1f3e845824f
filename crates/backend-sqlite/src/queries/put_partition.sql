-- In:  ?1 queue, ?2 partition, ?3 status, ?4 to ?6 order key of its first job,
--      ?7 moment.
-- Out: nothing.
-- Why: two indexes over this table make the next partition to start one step.
INSERT INTO windlass_partitions (queue, partition_key, status, head1, head2, head_seq, moment)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (queue, partition_key) DO UPDATE
SET status = excluded.status, head1 = excluded.head1, head2 = excluded.head2,
    head_seq = excluded.head_seq, moment = excluded.moment

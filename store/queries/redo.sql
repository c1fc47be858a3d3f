-- write_redo --
-- What a worker knows to be acknowledged and cannot know to be in PostgreSQL.
INSERT INTO redo (shard, epoch, seq, record, worker)
SELECT $1, epoch, seq, record, $2
FROM unnest($3::bigint[], $4::bigint[], $5::text[]) AS new (epoch, seq, record)
ON CONFLICT (shard, epoch, seq, worker) DO NOTHING;

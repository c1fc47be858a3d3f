-- The last record that a worker had seen acknowledged when it was fenced, until recovery has opened
-- the next epoch: if Redis has fewer, some are lost.
ALTER TABLE shard_epoch ADD COLUMN seen_seq bigint NOT NULL DEFAULT 0 CHECK (seen_seq >= 0);

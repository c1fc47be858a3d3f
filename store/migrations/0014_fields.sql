-- A shard that nobody has opened before has no reader of older code: its first reign writes the
-- newest records. Shards that were there keep their version until an operator raises it.
ALTER TABLE shard_epoch ALTER COLUMN records_version SET DEFAULT 2;

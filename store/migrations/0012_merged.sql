-- Whether the ledger got records from workers since the shard was last opened: Redis has never had
-- them, or has lost them, and must be rebuilt, however many recoveries fail before it is.
ALTER TABLE shard_epoch ADD COLUMN has_merged boolean NOT NULL DEFAULT false;

-- Up to where all of a shard had been proved when its last whole turn ended: the last record that
-- PostgreSQL had when that turn began, and when it began. Null: of no turn yet, or an older watch.
ALTER TABLE watches
    ADD COLUMN proved_epoch bigint,
    ADD COLUMN proved_seq   bigint,
    ADD COLUMN proved_at    timestamptz;

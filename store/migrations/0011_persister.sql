-- What the persister notes beside its rows.

-- Bytes of the records up to `last_seq`, so that Redis can know exactly how many wait (F24).
ALTER TABLE shard_checkpoint ADD COLUMN bytes bigint NOT NULL DEFAULT 0 CHECK (bytes >= 0);

-- Who replayed or discarded a record, and why.
ALTER TABLE quarantine
    ADD COLUMN changed_by text NOT NULL DEFAULT '',
    ADD COLUMN note       text NOT NULL DEFAULT '',
    ADD CHECK (state = 'held' OR changed_by <> '');
CREATE INDEX quarantine_held ON quarantine (shard, epoch, seq) WHERE state = 'held';

-- The archive is text that compresses well and must compress fast: lz4, where the server has it.
DO $$
BEGIN
    ALTER TABLE journal ALTER COLUMN records SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported OR invalid_parameter_value THEN
    RAISE NOTICE 'this server has no lz4: the journal is compressed as by default';
END $$;

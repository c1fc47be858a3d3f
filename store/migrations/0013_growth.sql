-- What lets old code and new code run side by side (docs/DATA.md, "Versions").

-- Version of the records that the scripts of a reign write. An operator raises it.
ALTER TABLE shard_epoch
    ADD COLUMN records_version smallint NOT NULL DEFAULT 1 CHECK (records_version >= 1);

-- Scripts that a coordinator has loaded: every reign gets those of the code beside it as well.
CREATE TABLE script_sets (
    digest              text        PRIMARY KEY, -- SHA-256 of the texts
    layout              smallint    NOT NULL,    -- of the keys that they know
    records_version_max smallint    NOT NULL,    -- that they can write
    texts               jsonb       NOT NULL,    -- by name
    loaded_at           timestamptz NOT NULL DEFAULT now()
);

-- Where each shard lives: the name of its server in EVENTLY_REDIS_URL (I20). Empty until a
-- coordinator of this code has claimed it; then the setting's order and length mean nothing.
ALTER TABLE shard_epoch
    ADD COLUMN home        text    NOT NULL DEFAULT '' CHECK (length(home) <= 32),
    -- Takes only events that are put there by hand.
    ADD COLUMN is_reserved boolean NOT NULL DEFAULT false;

-- Epoch 0: the shard is there, and nobody has opened it yet.
ALTER TABLE shard_epoch DROP CONSTRAINT shard_epoch_epoch_check;
ALTER TABLE shard_epoch ADD CONSTRAINT shard_epoch_epoch_check CHECK (epoch >= 0);

-- Whoever listens looks at once; who does not, within a second.
CREATE FUNCTION tell_reign() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('evently_reigns', NEW.shard::text);
    RETURN NULL;
END $$;

CREATE TRIGGER shard_epoch_changed AFTER INSERT OR UPDATE OF epoch, state, home ON shard_epoch
    FOR EACH ROW EXECUTE FUNCTION tell_reign();

-- Every change of a home, and who said that the old one was gone if it could not be fenced (I21).
CREATE TABLE moves (
    shard     smallint    NOT NULL,
    epoch     bigint      NOT NULL, -- the claim under which it moved
    from_home text        NOT NULL,
    to_home   text        NOT NULL,
    said_gone text        NOT NULL DEFAULT '', -- why; empty if the old home was fenced
    moved_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard, epoch)
);

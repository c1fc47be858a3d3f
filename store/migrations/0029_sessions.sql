-- Sessions, access tokens that are over, addresses that are proved, and tickets that wait for those
-- who prove one.

ALTER TABLE users
    -- Access tokens of an older version are over. Those of code before this have none: 0.
    ADD COLUMN token_version     integer NOT NULL DEFAULT 0,
    -- When it was proved that letters to the address come to who has the account; null: never.
    ADD COLUMN email_verified_at timestamptz,
    -- Its owner says that the address is theirs, but another account had it before.
    ADD COLUMN is_claim          boolean NOT NULL DEFAULT false,
    -- BCP 47; null: not told.
    ADD COLUMN language          text CHECK (length(language) BETWEEN 2 AND 35);

-- An address is one account's by its key; of those that only claim it, each has a key of its own.
CREATE OR REPLACE FUNCTION fill_account_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.account_key := account_key(NEW.email)
        || CASE WHEN NEW.is_claim THEN '#' || NEW.id ELSE '' END;
    RETURN NEW;
END $$;
DROP TRIGGER users_account_key ON users;
CREATE TRIGGER users_account_key BEFORE INSERT OR UPDATE OF email, is_claim ON users
    FOR EACH ROW EXECUTE FUNCTION fill_account_key();
DROP INDEX users_email;
CREATE INDEX users_by_email ON users (lower(email));
CREATE INDEX users_by_claim ON users (account_key(email), created_at DESC, id DESC) WHERE is_claim;

-- Who is signed in, where. A row that is deleted is a session that is over.
CREATE TABLE sessions (
    id            text COLLATE "C" PRIMARY KEY CHECK (id ~ '^ses_[0-9a-v]{26}$'),
    user_id       text COLLATE "C" NOT NULL,
    -- How they proved who they are, and what the device says of itself.
    method        text        NOT NULL CHECK (length(method) BETWEEN 1 AND 32),
    device        text        NOT NULL DEFAULT '' CHECK (length(device) <= 120),
    family_hash   bytea       NOT NULL UNIQUE, -- of what all its refresh tokens begin with
    token_hash    bytea       NOT NULL, -- of the rest of the one that is good
    salt          bytea       NOT NULL, -- makes the good one of the one before
    last_hash     bytea,                -- of the rest of the one before
    last_key_hash bytea,                -- of the Idempotency-Key that it was exchanged with
    opened_at     timestamptz NOT NULL DEFAULT now(),
    used_at       timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id, used_at);
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- What a link in a letter carries, once. Of no account where nobody has the address (S7).
CREATE TABLE account_tokens (
    token_hash bytea       PRIMARY KEY,
    user_id    text COLLATE "C",
    purpose    text        NOT NULL CHECK (purpose IN ('verify', 'email', 'reset')),
    email      text        NOT NULL CHECK (length(email) BETWEEN 3 AND 254), -- that it was sent to
    made_at    timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    UNIQUE (user_id, purpose)
);
CREATE INDEX account_tokens_by_end ON account_tokens (expires_at);

-- Which access tokens are over before their time, for as long as any can live.
CREATE TABLE revocations (
    id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject text COLLATE "C" NOT NULL, -- a user, or a session
    version integer     NOT NULL, -- tokens of a lower one are over
    -- What commits after a snapshot was taken has no lower one than the snapshot's xmin.
    xid     bigint      NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX revocations_by_xid ON revocations (xid);
CREATE INDEX revocations_by_time ON revocations (at);

CREATE FUNCTION tell_revocation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('evently_revocations', '');
    RETURN NULL;
END $$;
CREATE TRIGGER revocations_told AFTER INSERT ON revocations
    FOR EACH STATEMENT EXECUTE FUNCTION tell_revocation();

-- Whoever takes from what an account may do, by whatever way: its older tokens are over. Whoever is
-- made more has it by the row, and needs no new token.
CREATE FUNCTION raise_token_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.token_version = OLD.token_version THEN
        NEW.token_version := OLD.token_version + 1;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER users_demoted BEFORE UPDATE ON users FOR EACH ROW
    WHEN (NEW.role < OLD.role OR OLD.organizer_id IS NOT NULL
          AND OLD.organizer_id IS DISTINCT FROM NEW.organizer_id)
    EXECUTE FUNCTION raise_token_version();

CREATE FUNCTION note_token_version() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO revocations (subject, version) VALUES (NEW.id, NEW.token_version);
    RETURN NULL;
END $$;
CREATE TRIGGER users_revoked AFTER UPDATE ON users FOR EACH ROW
    WHEN (OLD.token_version IS DISTINCT FROM NEW.token_version)
    EXECUTE FUNCTION note_token_version();

-- An account that is gone: all its tokens are over, also those of versions that it never had.
CREATE FUNCTION end_account() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO revocations (subject, version) SELECT id, 2147483647 FROM users;
        DELETE FROM sessions;
        DELETE FROM account_tokens;
    ELSE
        INSERT INTO revocations (subject, version) VALUES (OLD.id, 2147483647);
        DELETE FROM sessions WHERE user_id = OLD.id;
        DELETE FROM account_tokens WHERE user_id = OLD.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER users_ended AFTER DELETE OR UPDATE OF id ON users
    FOR EACH ROW EXECUTE FUNCTION end_account();
CREATE TRIGGER users_all_ended BEFORE TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION end_account();

CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO revocations (subject, version) VALUES (OLD.id, 2147483647);
    RETURN NULL;
END $$;
CREATE TRIGGER sessions_ended AFTER DELETE ON sessions
    FOR EACH ROW EXECUTE FUNCTION end_session();

-- What accounts are told has no record: a row of its own, written with the fact.
ALTER TABLE outbox
    ALTER COLUMN event_id DROP NOT NULL,
    ALTER COLUMN shard DROP NOT NULL,
    ALTER COLUMN epoch DROP NOT NULL,
    ALTER COLUMN seq DROP NOT NULL,
    ADD COLUMN payload jsonb NOT NULL DEFAULT '{}', -- `to`: the address, if not the account's
    -- Until when `payload` has a secret, such as a link's token; null: it has none.
    ADD COLUMN secret_until timestamptz,
    ADD CHECK ((shard IS NULL) = (seq IS NULL) AND (shard IS NULL) = (epoch IS NULL));
CREATE INDEX outbox_secrets ON outbox (secret_until) WHERE secret_until IS NOT NULL;

-- Tickets that wait for whoever proves an address. Nobody learns from one who has an account.
CREATE TABLE gifts (
    id          text COLLATE "C" PRIMARY KEY CHECK (id ~ '^gift_[0-9a-v]{26}$'),
    event_id    text COLLATE "C" NOT NULL,
    booking_id  text COLLATE "C" NOT NULL,
    number      smallint    NOT NULL CHECK (number >= 1), -- the ticket's within its booking
    giver_id    text COLLATE "C" NOT NULL,
    email       text        NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    address_key text        NOT NULL, -- as `users.account_key`
    made_at     timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    taken_by    text COLLATE "C", -- null while it waits
    UNIQUE (booking_id, number)
);
CREATE INDEX gifts_by_address ON gifts (address_key, made_at DESC, id DESC);
CREATE INDEX gifts_by_giver ON gifts (giver_id, made_at DESC, id DESC);
CREATE INDEX gifts_by_end ON gifts (expires_at);

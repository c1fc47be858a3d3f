-- Signing in without a password: accounts at OpenID providers, and passkeys.

-- Accounts made by a provider's word have a password that nobody knows, until one is set.
ALTER TABLE users ADD COLUMN has_password boolean NOT NULL DEFAULT true;

CREATE FUNCTION note_password() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.has_password := true;
    RETURN NEW;
END $$;

CREATE TRIGGER users_password BEFORE UPDATE OF password_hash ON users
    FOR EACH ROW WHEN (NEW.password_hash IS DISTINCT FROM OLD.password_hash)
    EXECUTE FUNCTION note_password();

-- Who one is at a provider: its issuer and the name that it never gives to another.
CREATE TABLE identities (
    id         text COLLATE "C" PRIMARY KEY CHECK (id ~ '^idn_[0-9a-v]{26}$'),
    user_id    text COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    issuer     text NOT NULL CHECK (length(issuer) BETWEEN 1 AND 500),
    subject    text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    email      text NOT NULL DEFAULT '' CHECK (length(email) <= 254), -- as the provider told it
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (issuer, subject)
);
CREATE INDEX identities_by_user ON identities (user_id, id);

CREATE TABLE passkeys (
    id            text COLLATE "C" PRIMARY KEY CHECK (id ~ '^pky_[0-9a-v]{26}$'),
    user_id       text COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    credential_id bytea  NOT NULL UNIQUE CHECK (octet_length(credential_id) BETWEEN 1 AND 1023),
    public_key    bytea  NOT NULL CHECK (octet_length(public_key) BETWEEN 1 AND 4096),
    sign_count    bigint NOT NULL CHECK (sign_count BETWEEN 0 AND 4294967295),
    transports    text[] NOT NULL DEFAULT '{}',
    is_synced     boolean NOT NULL, -- whether its maker keeps copies of it elsewhere
    name          text   NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    created_at    timestamptz NOT NULL DEFAULT now(),
    used_at       timestamptz
);
CREATE INDEX passkeys_by_user ON passkeys (user_id, id);

-- Sign-ins that came to their end, so that none does twice; a row lives as long as its flow would.
CREATE TABLE spent_flows (
    id         bytea       PRIMARY KEY CHECK (octet_length(id) = 16),
    expires_at timestamptz NOT NULL
);
CREATE INDEX spent_flows_by_end ON spent_flows (expires_at);

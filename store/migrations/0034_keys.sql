-- Keys that sign, keys that integrations bring, and devices at gates.

-- Keys beside those of the settings. What is secret in them is sealed (AES-256-GCM) with the
-- setting of their purpose, which is not here: neither table nor setting opens anything alone.
CREATE TABLE signing_keys (
    kid         text COLLATE "C" NOT NULL CHECK (kid ~ '^[0-9a-v]{8,16}$'),
    purpose     text        NOT NULL CHECK (purpose IN ('tokens', 'tickets')),
    is_setting  boolean     NOT NULL DEFAULT false, -- the key is the setting itself
    sealed      bytea,       -- null: of the setting, or retired
    ticket_key  bytea,       -- public keys of tickets and of receipts; null: of tokens
    receipt_key bytea,
    made_at     timestamptz NOT NULL DEFAULT now(),
    signs_at    timestamptz NOT NULL, -- before that it verifies only
    retires_at  timestamptz, -- from then on nothing that it signed counts; null: not known yet
    PRIMARY KEY (purpose, kid)
);

-- Whether an account may act for an organizer now, in one of some places on its team: at an event,
-- or for all of them if none is named.
CREATE FUNCTION works_for(account text, organizer text, places text[], event text DEFAULT NULL)
RETURNS boolean
-- With the owner's rights: keys are made in a role that reads no accounts (store/roles.py).
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM users
        WHERE users.id = account AND users.disabled_at IS NULL
          AND (users.role = 'admin' OR EXISTS (
              SELECT FROM team_members AS own
              WHERE own.user_id = account AND own.organizer_id = organizer
                AND own.role::text = ANY (places)
                AND (own.event_ids IS NULL OR event = ANY (own.event_ids)))))
$$;

-- Of integrations. No foreign key to the maker: an account may go, and its keys then end.
CREATE TABLE api_keys (
    id           text COLLATE "C" PRIMARY KEY CHECK (id ~ '^key_[0-9a-v]{26}$'),
    organizer_id text COLLATE "C" NOT NULL REFERENCES organizers (id),
    made_by      text COLLATE "C" NOT NULL,
    name         text        NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    scopes       text[]      NOT NULL,
    prefix       text COLLATE "C" NOT NULL UNIQUE CHECK (prefix ~ '^[0-9a-v]{12}$'),
    hash         bytea       NOT NULL CHECK (length(hash) = 32), -- SHA-256 of the whole key
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz, -- to the minute
    revoked_at   timestamptz
);
CREATE INDEX api_keys_by_organizer ON api_keys (organizer_id, created_at DESC, id DESC);

-- At the gates of one event; each is enrolled once, by a code that lives for minutes.
CREATE TABLE devices (
    id              text COLLATE "C" PRIMARY KEY CHECK (id ~ '^dev_[0-9a-v]{26}$'),
    event_id        text COLLATE "C" NOT NULL REFERENCES events (id),
    organizer_id    text COLLATE "C" NOT NULL REFERENCES organizers (id),
    gate            text        NOT NULL CHECK (length(gate) BETWEEN 1 AND 100),
    made_by         text COLLATE "C" NOT NULL,
    code_hash       bytea UNIQUE CHECK (length(code_hash) = 32), -- null: used, or revoked
    code_expires_at timestamptz NOT NULL,
    prefix          text COLLATE "C" UNIQUE CHECK (prefix ~ '^[0-9a-v]{12}$'), -- null: not enrolled
    hash            bytea CHECK (length(hash) = 32),
    created_at      timestamptz NOT NULL DEFAULT now(),
    enrolled_at     timestamptz,
    last_used_at    timestamptz, -- to the minute
    revoked_at      timestamptz
);
CREATE INDEX devices_by_event ON devices (event_id, created_at DESC, id DESC);

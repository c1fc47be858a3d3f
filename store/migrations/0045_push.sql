-- Push: the browsers that people have messages pushed to, and the keys that these know us by.

-- Public halves of the notifier's keys, as it has them: it writes them at its start.
CREATE TABLE push_keys (
    id         text COLLATE "C" PRIMARY KEY,
    public_key text    NOT NULL, -- a point of P-256, uncompressed, in base64url
    is_first   boolean NOT NULL  -- new subscriptions are made with it
);
CREATE UNIQUE INDEX push_keys_first ON push_keys (is_first) WHERE is_first;

CREATE TABLE push_subscriptions (
    id                text COLLATE "C" PRIMARY KEY,
    user_id           text COLLATE "C" NOT NULL REFERENCES users ON DELETE CASCADE,
    endpoint          text COLLATE "C" NOT NULL UNIQUE CHECK (length(endpoint) <= 1024),
    host              text NOT NULL, -- the push service's
    p256dh            text NOT NULL, -- what messages are sealed for, as the browser says it
    auth              text NOT NULL,
    key_id            text COLLATE "C" NOT NULL, -- of `push_keys`; it may be gone since
    name              text NOT NULL,
    since             timestamptz NOT NULL DEFAULT now(), -- of this account
    last_delivered_at timestamptz,
    failures          integer NOT NULL DEFAULT 0 -- since then
);
CREATE INDEX push_subscriptions_of ON push_subscriptions (user_id, id);

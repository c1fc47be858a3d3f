-- What is to be told becomes deliveries: one for each channel and target, sent by the notifier.

CREATE TYPE delivery_state AS ENUM (
    'waiting',    -- to be sent
    'sending',    -- waiting, delayed, unknown -> sending: leased to a worker until `due_at`
    'sent',       -- sending -> sent, final: the server has taken it
    'delayed',    -- sending -> delayed: tried again at `due_at`
    'unknown',    -- sending -> unknown: the text had gone and nobody knows whether it was taken
    'dead',       -- sending -> dead: refused for good, or too late; a human may send it again
    'suppressed', -- sending -> suppressed, final: the address takes nothing
    'skipped',    -- waiting, sending -> skipped, final: nothing to say, or nobody to say it to
    'superseded'  -- waiting, delayed -> superseded, final: a later message says it as well
);

CREATE TABLE deliveries (
    id         bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Kind, subject, person and what else makes it this fact; the same after a recovery.
    fact       text COLLATE "C" NOT NULL CHECK (length(fact) <= 300),
    channel    text     NOT NULL CHECK (channel IN ('mail')),
    target     text COLLATE "C" NOT NULL, -- an address; or an account: wherever it is reached then
    kind       text     NOT NULL,
    lane       smallint NOT NULL CHECK (lane BETWEEN 1 AND 3),
    user_id    text COLLATE "C" NOT NULL,
    event_id   text COLLATE "C",
    subject_id text COLLATE "C" NOT NULL,
    booking_id text COLLATE "C", -- its messages leave in order, and are one thread
    outbox_id  bigint,           -- the row that says more
    shard      smallint,
    epoch      bigint,
    seq        bigint,           -- the record that made it true
    until      timestamptz,      -- from then on it says nothing that anybody needs
    state      delivery_state NOT NULL DEFAULT 'waiting',
    attempts   smallint    NOT NULL DEFAULT 0, -- the last one's number is its lease
    doubts     smallint    NOT NULL DEFAULT 0, -- attempts of which nobody knows how they ended
    domain     text        NOT NULL DEFAULT '', -- of the recipient's address
    reason     text        NOT NULL DEFAULT '', -- codes alone, no server's words
    written_at timestamptz NOT NULL DEFAULT now(),
    due_at     timestamptz NOT NULL DEFAULT now(), -- of `sending`: the end of the lease
    ended_at   timestamptz,
    UNIQUE (fact, channel, target)
);
CREATE INDEX deliveries_due ON deliveries (lane, due_at, id) INCLUDE (domain)
    WHERE state IN ('waiting', 'sending', 'delayed', 'unknown');
CREATE INDEX deliveries_of_booking ON deliveries (booking_id, id) WHERE booking_id IS NOT NULL;
CREATE INDEX deliveries_by_user ON deliveries (user_id, id);
CREATE INDEX deliveries_to_address ON deliveries (lower(target)) WHERE strpos(target, '@') > 0;
CREATE INDEX deliveries_dead ON deliveries (id) WHERE state = 'dead';
CREATE INDEX deliveries_ended ON deliveries (ended_at) WHERE ended_at IS NOT NULL;

-- How far each epoch of the archive has been followed.
CREATE TABLE told (
    shard      smallint    NOT NULL,
    epoch      bigint      NOT NULL,
    last_seq   bigint      NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard, epoch)
);

-- Addresses that take nothing, until their owner proves them again.
CREATE TABLE suppressions (
    address_key text COLLATE "C" PRIMARY KEY, -- as `users.account_key`
    reason      text        NOT NULL,
    since       timestamptz NOT NULL DEFAULT now()
);

-- When a notifier last worked: one row.
CREATE TABLE notifier_beat (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    at      timestamptz NOT NULL
);

ALTER TABLE outbox
    ADD COLUMN mark text COLLATE "C" NOT NULL DEFAULT '', -- tells facts of one subject apart
    ADD COLUMN until timestamptz, -- from then on it says nothing that anybody needs
    ADD COLUMN taken_at timestamptz; -- when its deliveries were made
CREATE INDEX outbox_untaken ON outbox (id) WHERE taken_at IS NULL;

-- What was before there was a notifier is told to nobody: it is old, or known.
UPDATE outbox SET taken_at = now();
INSERT INTO told (shard, epoch, last_seq) SELECT shard, epoch, last_seq FROM shard_checkpoint;

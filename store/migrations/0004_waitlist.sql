-- The waitlist: one policy per event, and the ledger of who waited for what, and how it ended.

CREATE TYPE waitlist_policy AS ENUM (
    'strict',  -- the head waits until its party fits, at most for the patience
    'skip'     -- smaller parties may pass a head that does not fit
);

ALTER TABLE events
    ADD COLUMN waitlist_policy waitlist_policy NOT NULL DEFAULT 'strict',
    ADD COLUMN waitlist_patience_ms bigint NOT NULL DEFAULT 900000
        CHECK (waitlist_patience_ms BETWEEN 0 AND 2592000000);

CREATE TYPE waitlist_status AS ENUM (
    'waiting',   -- by `joined`
    'offered',   -- waiting -> offered: places are held for it until a deadline
    'accepted',  -- offered -> accepted, final: a booking
    'declined',  -- offered -> declined, final: given back by its owner
    'expired',   -- offered -> expired, final: not answered in time
    'left'       -- waiting -> left, final: by its owner, or by the limit per person
);

-- Written by the ledger writer alone; no foreign key leads out, as for bookings.
CREATE TABLE waitlist_entries (
    event_id      text COLLATE "C" NOT NULL,
    id            text COLLATE "C" NOT NULL,
    user_id       text COLLATE "C" NOT NULL,
    tier_no       smallint NOT NULL,
    quantity      smallint NOT NULL CHECK (quantity BETWEEN 1 AND 10),
    join_no       text COLLATE "C" NOT NULL CHECK (join_no ~ '^[0-9]{12}$'),
    status        waitlist_status NOT NULL,
    version       smallint    NOT NULL CHECK (version BETWEEN 1 AND 3), -- I10: only ever increases
    fingerprint   text        NOT NULL,
    shard         smallint    NOT NULL,
    epoch         bigint      NOT NULL,
    seq           bigint      NOT NULL,
    joined_at     timestamptz NOT NULL,
    stalled_at    timestamptz,
    offered_at    timestamptz,
    changed_epoch bigint      NOT NULL,
    changed_seq   bigint      NOT NULL,
    changed_at    timestamptz NOT NULL,
    PRIMARY KEY (event_id, id),            -- I6: the id is the idempotency key
    UNIQUE (event_id, tier_no, join_no)    -- I9: each place in a list is one entry's
);
-- I9: nobody waits twice for the same tier, or waits while holding its offer.
CREATE UNIQUE INDEX waitlist_live ON waitlist_entries (event_id, tier_no, user_id)
    WHERE status IN ('waiting', 'offered');
CREATE INDEX waitlist_by_user ON waitlist_entries (user_id, joined_at DESC, id DESC);
CREATE INDEX waitlist_by_offer ON waitlist_entries (event_id, tier_no, offered_at)
    WHERE offered_at IS NOT NULL;

-- The ledger: what the journal said, written by the ledger writer alone.
--
-- No foreign key leads out of these tables: PostgreSQL must not be able to refuse a booking that
-- Redis has acknowledged. The reconciler checks the references instead.
--
-- Partitions go by the event's id, whose first characters are the time of its making, so that a
-- year's events can be detached whole, and so that every unique key of the sale (which always
-- knows its event) is enforced across all of them.

CREATE TYPE shard_state AS ENUM (
    'recovering', -- claimed by a coordinator: nobody sells
    'open',       -- recovering -> open: published with the scripts' SHA-1
    'frozen'      -- recovering -> frozen: a human must look
);

CREATE TABLE shard_epoch (
    shard       smallint    PRIMARY KEY CHECK (shard >= 0),
    epoch       bigint      NOT NULL CHECK (epoch >= 1),
    state       shard_state NOT NULL,
    holder      text        NOT NULL,
    lease_until timestamptz NOT NULL,
    nonce       text        NOT NULL,
    redis_run_id text       NOT NULL DEFAULT '',
    reason      text        NOT NULL DEFAULT '',
    changed_at  timestamptz NOT NULL DEFAULT now()
);

-- I7, I14: per shard and epoch, the last journal record that stands in the tables below.
CREATE TABLE shard_checkpoint (
    shard      smallint    NOT NULL,
    epoch      bigint      NOT NULL,
    last_seq   bigint      NOT NULL CHECK (last_seq >= 0),
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard, epoch)
);

-- The journal itself, one row per persisted batch: records joined by newlines, as they stood in
-- the stream. The rows of one epoch join without gap or overlap (I7).
CREATE TABLE journal (
    shard     smallint    NOT NULL,
    epoch     bigint      NOT NULL,
    first_seq bigint      NOT NULL,
    last_seq  bigint      NOT NULL CHECK (last_seq >= first_seq),
    first_at  timestamptz NOT NULL,
    records   text        NOT NULL,
    PRIMARY KEY (shard, epoch, first_seq, first_at)
) PARTITION BY RANGE (first_at);

CREATE TYPE booking_status AS ENUM (
    'confirmed',  -- by `booked`
    'cancelled'   -- confirmed -> cancelled, final
);

CREATE TABLE bookings (
    id               text COLLATE "C" NOT NULL,
    event_id         text COLLATE "C" NOT NULL,
    user_id          text COLLATE "C" NOT NULL,
    status           booking_status NOT NULL,
    version          smallint       NOT NULL CHECK (version >= 1), -- I10: only ever increases
    total_minor      bigint         NOT NULL CHECK (total_minor >= 0),
    shard            smallint       NOT NULL,
    epoch            bigint         NOT NULL,
    seq              bigint         NOT NULL,
    created_at       timestamptz    NOT NULL,
    cancelled_at     timestamptz,
    fingerprint      text           NOT NULL,
    special_requests text,
    metadata         jsonb,
    PRIMARY KEY (event_id, id), -- I6: the id is the idempotency key
    CHECK ((status = 'cancelled') = (cancelled_at IS NOT NULL))
) PARTITION BY RANGE (event_id);
CREATE INDEX bookings_by_user ON bookings (user_id, created_at DESC, id DESC);

CREATE TABLE items (
    event_id         text COLLATE "C" NOT NULL,
    booking_id       text COLLATE "C" NOT NULL,
    line             smallint NOT NULL CHECK (line BETWEEN 1 AND 10),
    tier_no          smallint NOT NULL,
    quantity         smallint NOT NULL CHECK (quantity BETWEEN 1 AND 10),
    unit_price_minor bigint   NOT NULL CHECK (unit_price_minor >= 0),
    PRIMARY KEY (event_id, booking_id, line)
) PARTITION BY RANGE (event_id);

CREATE TABLE tickets (
    event_id   text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    booking_id text COLLATE "C" NOT NULL,
    tier_no    smallint NOT NULL,
    PRIMARY KEY (event_id, id)
) PARTITION BY RANGE (event_id);

CREATE TABLE bookings_rest PARTITION OF bookings DEFAULT;
CREATE TABLE items_rest    PARTITION OF items    DEFAULT;
CREATE TABLE tickets_rest  PARTITION OF tickets  DEFAULT;
CREATE TABLE journal_rest  PARTITION OF journal  DEFAULT;

-- Make one partition unless it exists. Rows of that range that already stand in the rest
-- partition make PostgreSQL refuse; they then stay there, which is correct, only less tidy.
CREATE FUNCTION ensure_partition(parent text, suffix text, from_bound text, to_bound text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass(parent || '_' || suffix) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                       parent || '_' || suffix, parent, from_bound, to_bound);
    END IF;
EXCEPTION WHEN check_violation THEN
    RAISE NOTICE 'partition % of % not made: the rest partition has its rows', suffix, parent;
END $$;

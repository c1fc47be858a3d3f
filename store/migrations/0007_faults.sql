-- What faults leave behind, and what recovery needs to put it right.

-- Fence: the replication history that was opened. A promoted or re-attached Redis shows another.
ALTER TABLE shard_epoch ADD COLUMN redis_replid text NOT NULL DEFAULT '';

-- A cancelled booking's own record, so that Redis can be rebuilt to the letter.
ALTER TABLE bookings
    ADD COLUMN cancelled_epoch bigint,
    ADD COLUMN cancelled_seq   bigint;

-- Acknowledged bookings that a worker still held in memory when its shard was fenced, written by
-- the worker, merged and emptied by recovery (CURP's witnesses, on PostgreSQL).
CREATE TABLE redo (
    shard      smallint    NOT NULL,
    epoch      bigint      NOT NULL,
    seq        bigint      NOT NULL CHECK (seq >= 1),
    record     text        NOT NULL, -- as in the journal: check and JSON
    worker     text        NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard, epoch, seq, worker)
);

-- Two truths about one place: the winner stands in the ledger, the loser here until a human has
-- made it good. Never deleted by a program.
CREATE TABLE conflicts (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard       smallint    NOT NULL,
    epoch       bigint      NOT NULL,
    seq         bigint      NOT NULL,
    record      text        NOT NULL,
    reason      text        NOT NULL,
    found_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (shard, epoch, seq, record)
);

CREATE TYPE quarantine_state AS ENUM (
    'held',       -- by the persister, which freezes the shard
    'replayed',   -- held -> replayed: a mended record was written in its place
    'discarded'   -- held -> discarded: by a human, who takes the blame
);

-- Records that the ledger could not take, with their raw bytes.
CREATE TABLE quarantine (
    shard      smallint    NOT NULL,
    epoch      bigint      NOT NULL,
    seq        bigint      NOT NULL,
    record     bytea       NOT NULL,
    reason     text        NOT NULL,
    state      quarantine_state NOT NULL DEFAULT 'held',
    found_at   timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard, epoch, seq)
);

-- What is to be told to people, written in the transaction that makes it true (I19).
CREATE TABLE outbox (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text        NOT NULL, -- booking.confirmed, booking.cancelled, waitlist.offered, ...
    event_id   text COLLATE "C" NOT NULL,
    user_id    text COLLATE "C" NOT NULL,
    subject_id text COLLATE "C" NOT NULL, -- booking, entry or ticket
    shard      smallint    NOT NULL,
    epoch      bigint      NOT NULL,
    seq        bigint      NOT NULL, -- the record that made it true
    written_at timestamptz NOT NULL DEFAULT now(),
    sent_at    timestamptz,
    UNIQUE (shard, epoch, seq, subject_id)
);
CREATE INDEX outbox_unsent ON outbox (id) WHERE sent_at IS NULL;

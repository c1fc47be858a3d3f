-- Check-in, transfer, items cancelled alone, capacity, close, reopen, cancelled events.
-- no statement below uses the new enum values, so that one transaction may have them all.

ALTER TYPE event_status ADD VALUE 'closed';    -- published <-> closed, by the organizer
ALTER TYPE event_status ADD VALUE 'cancelled'; -- published, closed -> cancelled, final

ALTER TABLE events ADD COLUMN cancelled_at timestamptz;

-- The journal may close a sale before it opened: PostgreSQL must not refuse what Redis has decided.
-- For drafts the API checks it.
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT conname FROM pg_constraint
        WHERE conrelid = 'events'::regclass AND contype = 'c'
          AND pg_get_constraintdef(oid) LIKE '%sale_closes_at > sale_opens_at%'
    LOOP
        EXECUTE format('ALTER TABLE events DROP CONSTRAINT %I', name);
    END LOOP;
END $$;

-- What the booking was made with and each cut, as Redis keeps them (lua/lib/layout.lua); null while
-- nothing was cut. `items` has what it keeps.
ALTER TABLE bookings ADD COLUMN cuts text;

-- A ticket's last change, as in Redis. No row of `tickets` is ever removed: one whose place was cut
-- is known by its booking's items.
ALTER TABLE tickets
    ADD COLUMN status     text     NOT NULL DEFAULT 'valid'
        CHECK (status IN ('valid', 'checked_in', 'undone')),
    ADD COLUMN version    integer  NOT NULL DEFAULT 1 CHECK (version >= 1), -- grows by transfer
    ADD COLUMN holder_id  text COLLATE "C", -- null: the booking's owner, and nothing ever changed
    ADD COLUMN changed_at timestamptz,
    ADD COLUMN gate       text,
    ADD COLUMN changed_by text COLLATE "C",
    ADD COLUMN epoch      bigint,
    ADD COLUMN seq        bigint;
CREATE INDEX tickets_by_holder ON tickets (holder_id, changed_at DESC) WHERE holder_id IS NOT NULL;

-- Messages in the account; what people want to be told; and reminders.

ALTER TABLE deliveries ADD COLUMN seen_at timestamptz; -- of channel `account`: by its person
CREATE INDEX deliveries_in_account ON deliveries (user_id, id DESC) WHERE channel = 'account';
CREATE INDEX deliveries_unseen ON deliveries (user_id)
    WHERE channel = 'account' AND seen_at IS NULL;
CREATE INDEX deliveries_new_in_accounts ON deliveries (id) WHERE channel = 'account';

-- The zone in which a person wants to be told times beside the venue's.
ALTER TABLE users ADD COLUMN timezone text;

-- What people do not want to be told, by channel; all else is told.
CREATE TABLE muted_messages (
    user_id text COLLATE "C" NOT NULL,
    topic   text COLLATE "C" NOT NULL CHECK (topic IN ('reminders', 'sales')),
    channel text COLLATE "C" NOT NULL CHECK (channel IN ('mail', 'push')),
    since   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, topic, channel)
);

-- What signs the links by which letters are ended: of this database, and drawn when it was made.
CREATE TABLE unsubscribe_key (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    secret  text NOT NULL DEFAULT gen_random_uuid()::text || gen_random_uuid()::text
);
INSERT INTO unsubscribe_key DEFAULT VALUES;

-- Who asked to be told before a sale opens.
CREATE TABLE sale_reminders (
    event_id text COLLATE "C" NOT NULL,
    user_id  text COLLATE "C" NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (event_id, user_id)
);
CREATE INDEX sale_reminders_by_user ON sale_reminders (user_id, event_id);

-- How far the reminders of an event were made: for each kind, and for the time that it had then.
CREATE TABLE reminder_plans (
    event_id    text COLLATE "C" NOT NULL,
    kind        text COLLATE "C" NOT NULL,
    planned_for timestamptz NOT NULL, -- its start or its sale's; another time, another plan
    last_id     text COLLATE "C" NOT NULL DEFAULT '', -- of bookings or people: where to go on
    is_done     boolean NOT NULL DEFAULT false,
    changed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (event_id, kind, planned_for)
);
-- What begins soon, of the events that are sold; those whose sale has begun are in the past here.
CREATE INDEX events_by_opening ON events (sale_opens_at, id)
    WHERE status = 'published';

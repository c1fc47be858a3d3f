-- People, organizers, events and tiers: what the API writes directly.
-- Ids are text in byte order (COLLATE "C"), the same text as in Redis and HTTP, and sort by time.

CREATE TABLE organizers (
    id          text COLLATE "C" PRIMARY KEY CHECK (id ~ '^org_[0-9a-v]{26}$'),
    name        text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TYPE user_role AS ENUM ('user', 'staff', 'organizer', 'admin');

CREATE TABLE users (
    id            text COLLATE "C" PRIMARY KEY CHECK (id ~ '^usr_[0-9a-v]{26}$'),
    email         text        NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    name          text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    password_hash text        NOT NULL,
    role          user_role   NOT NULL DEFAULT 'user',
    organizer_id  text COLLATE "C" REFERENCES organizers (id),
    created_at    timestamptz NOT NULL DEFAULT now(),
    CHECK (role NOT IN ('organizer', 'staff') OR organizer_id IS NOT NULL)
);
CREATE UNIQUE INDEX users_email ON users (lower(email));

CREATE TYPE event_status AS ENUM (
    'draft',      -- made by its organizer
    'published'   -- draft -> published: its stock is loaded in Redis, by the journal
);

CREATE TABLE events (
    id             text COLLATE "C" PRIMARY KEY CHECK (id ~ '^evt_[0-9a-v]{26}$'),
    organizer_id   text COLLATE "C" NOT NULL REFERENCES organizers (id),
    shard          smallint     NOT NULL CHECK (shard >= 0),
    status         event_status NOT NULL DEFAULT 'draft',
    name           text         NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    description    text         NOT NULL DEFAULT '' CHECK (length(description) <= 10000),
    category       text         NOT NULL DEFAULT '' CHECK (length(category) <= 100),
    venue          text         NOT NULL DEFAULT '' CHECK (length(venue) <= 200),
    timezone       text         NOT NULL,
    currency       text         NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    starts_at      timestamptz  NOT NULL,
    ends_at        timestamptz  NOT NULL CHECK (ends_at >= starts_at),
    sale_opens_at  timestamptz  NOT NULL,
    sale_closes_at timestamptz  NOT NULL CHECK (sale_closes_at > sale_opens_at),
    person_max     integer      NOT NULL CHECK (person_max BETWEEN 1 AND 1000),
    version        integer      NOT NULL DEFAULT 1,
    created_at     timestamptz  NOT NULL DEFAULT now(),
    published_at   timestamptz
);
CREATE INDEX events_by_start ON events (starts_at, id) WHERE status <> 'draft';
CREATE INDEX events_by_organizer ON events (organizer_id, id);
CREATE INDEX events_by_shard ON events (shard, id) WHERE status <> 'draft';

CREATE TABLE tiers (
    event_id    text COLLATE "C" NOT NULL REFERENCES events (id),
    tier_no     smallint NOT NULL CHECK (tier_no BETWEEN 1 AND 100),
    id          text COLLATE "C" NOT NULL UNIQUE CHECK (id ~ '^tier_[0-9a-v]{26}$'),
    name        text     NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    price_minor bigint   NOT NULL CHECK (price_minor >= 0),
    capacity    integer  NOT NULL CHECK (capacity >= 0),
    order_max   smallint NOT NULL CHECK (order_max BETWEEN 1 AND 10),
    PRIMARY KEY (event_id, tier_no)
);

-- Rules of a tier beside those of its event: 0 or null where it has none.

ALTER TABLE tiers
    ADD COLUMN order_min  smallint NOT NULL DEFAULT 0,   -- places an order must have at least
    ADD COLUMN person_max integer  NOT NULL DEFAULT 0,   -- I12: places one person may have of it
    ADD COLUMN sale_opens_at  timestamptz,               -- sale window within the event's
    ADD COLUMN sale_closes_at timestamptz,
    ADD CHECK (order_min BETWEEN 0 AND order_max),
    ADD CHECK (person_max BETWEEN 0 AND 1000),
    ADD CHECK (sale_closes_at > sale_opens_at);

-- Promo codes: what takes how much off, and how often; the uses are counted in Redis.
CREATE TABLE promos (
    event_id     text COLLATE "C" NOT NULL REFERENCES events (id),
    code         text     NOT NULL CHECK (code ~ '^[A-Z0-9_-]{1,32}$'),
    uses_max     integer  NOT NULL CHECK (uses_max >= 1),
    percent      smallint NOT NULL CHECK (percent BETWEEN 0 AND 100),
    amount_minor bigint   NOT NULL CHECK (amount_minor >= 0),
    tier_nos     smallint[] NOT NULL, -- empty: all tiers
    PRIMARY KEY (event_id, code)
);
-- The fingerprint carries the code from the order to its hold and booking (engine.ids.with_promo).
ALTER TABLE bookings ADD COLUMN promo_code text
    GENERATED ALWAYS AS (substring(fingerprint FROM '~([A-Z0-9_-]+)$')) STORED;

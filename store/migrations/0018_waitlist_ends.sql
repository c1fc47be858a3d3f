-- How a waitlist entry ended says why, and an event may say how long its offers last.
ALTER TYPE waitlist_status ADD VALUE 'limit';           -- of waiting, final: its owner has enough
ALTER TYPE waitlist_status ADD VALUE 'too_large';       -- of waiting, final: so is its party
ALTER TYPE waitlist_status ADD VALUE 'event_cancelled'; -- of waiting or offered, final

ALTER TABLE events
    ADD COLUMN offer_ttl_ms bigint NOT NULL DEFAULT 0 -- 0: by the time left (lua/lib/waitlist.lua)
        CHECK (offer_ttl_ms BETWEEN 0 AND 604800000);

-- Hidden tiers: sold and shown only to who has a promo code that names them.

ALTER TABLE tiers ADD COLUMN is_hidden boolean NOT NULL DEFAULT false;

-- A code that takes nothing off is for unlocking what it names.
ALTER TABLE promos
    ADD CHECK (percent > 0 OR amount_minor > 0 OR cardinality(tier_nos) > 0);

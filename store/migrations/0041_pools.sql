-- Tiers of an event may share places: `p100t1t2t` are 100 for tiers 1 and 2 (engine/pools.py), and
-- what follows is the next pool. Names are for people, in the order of the pools, a line each.
ALTER TABLE events
    ADD COLUMN pools text COLLATE "C" NOT NULL DEFAULT ''
        CHECK (pools ~ '^(p[0-9]+(t[0-9]+)+t)*$'),
    ADD COLUMN pool_names text NOT NULL DEFAULT '';

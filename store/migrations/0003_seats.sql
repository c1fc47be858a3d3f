-- Reserved seating: what an organizer made, and who has which seat.

-- A seat is a place in its section's status (engine/seats.py), not a row: a stadium is some dozens
-- of rows here. `row_seats` and `kinds` are the very texts that Redis is loaded with; `rows` has
-- what only people need: [{"name": "A", "labels": ["1", "2"]}, ...], labels left out where they
-- are 1, 2, 3, ...
CREATE TABLE sections (
    event_id   text COLLATE "C" NOT NULL REFERENCES events (id),
    section_no smallint NOT NULL CHECK (section_no BETWEEN 1 AND 200),
    tier_no    smallint NOT NULL,
    name       text     NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    row_seats  text     NOT NULL CHECK (row_seats ~ '^[1-9][0-9]{0,3}(,[1-9][0-9]{0,3})*$'),
    kinds      text     NOT NULL CHECK (kinds ~ '^[0-7/]*$'),
    rows       jsonb    NOT NULL,
    PRIMARY KEY (event_id, section_no),
    FOREIGN KEY (event_id, tier_no) REFERENCES tiers (event_id, tier_no)
);

-- Seats of a line as in the journal, joined by '+'; empty where the tier has none.
ALTER TABLE items ADD COLUMN seat_ids text NOT NULL DEFAULT '';

ALTER TABLE tickets ADD COLUMN seat_id text COLLATE "C";
-- False once its booking is cancelled; kept for tickets with a seat.
ALTER TABLE tickets ADD COLUMN is_live boolean NOT NULL DEFAULT true;
-- I3: a seat has one live owner. No statement names this index as its conflict target, so that a
-- seat that was sold twice stops the ledger and is never passed over in silence (F29).
CREATE UNIQUE INDEX tickets_live_seat ON tickets (event_id, seat_id)
    WHERE is_live AND seat_id IS NOT NULL;

CREATE TABLE blocked_seats (
    event_id   text COLLATE "C" NOT NULL,
    seat_id    text COLLATE "C" NOT NULL,
    tier_no    smallint    NOT NULL,
    blocked_at timestamptz NOT NULL,
    PRIMARY KEY (event_id, seat_id)
);

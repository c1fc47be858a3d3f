-- Notes of a box office on orders; some say what became of the money for places given back.

CREATE TABLE order_notes (
    id             text COLLATE "C" PRIMARY KEY CHECK (id ~ '^note_[0-9a-v]{26}$'),
    organizer_id   text COLLATE "C" NOT NULL REFERENCES organizers (id),
    event_id       text COLLATE "C" NOT NULL,
    booking_id     text COLLATE "C" NOT NULL, -- of the ledger, to which nothing refers
    user_id        text COLLATE "C" NOT NULL, -- whose booking it is
    written_by     text COLLATE "C" NOT NULL,
    written_at     timestamptz NOT NULL DEFAULT now(),
    text           text        NOT NULL CHECK (length(text) <= 2000), -- empty once it is forgotten
    refund         text        CHECK (refund IN ('done', 'waived')),
    refund_minor   bigint      CHECK (refund_minor > 0),
    refund_version smallint,   -- of the booking, whose money it is about
    CHECK ((refund IS NULL) = (refund_minor IS NULL)),
    CHECK ((refund IS NULL) = (refund_version IS NULL))
);
CREATE INDEX order_notes_by_order ON order_notes (event_id, booking_id, written_at, id);
CREATE INDEX order_notes_by_person ON order_notes (user_id, id);
-- What is due at a version of a booking is settled once.
CREATE UNIQUE INDEX order_notes_settled ON order_notes (event_id, booking_id, refund_version)
    WHERE refund IS NOT NULL;

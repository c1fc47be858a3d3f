-- Scans at the gate: each once, also those that came after the ticket was used.

-- What a ticket remembers of its scans, as Redis keeps it (`engine.values`); null for none.
ALTER TABLE tickets ADD COLUMN scans text;

-- Every scan that stands in the journal with an id, a row for each record. By the event, as tickets
-- are: a year's events go together.
CREATE TABLE scans (
    event_id   text COLLATE "C" NOT NULL,
    epoch      bigint      NOT NULL,
    seq        bigint      NOT NULL,
    ticket_id  text COLLATE "C" NOT NULL,
    booking_id text COLLATE "C" NOT NULL,
    scan_id    text COLLATE "C" NOT NULL,
    what       text        NOT NULL CHECK (what IN ('in', 'undone', 'refused')),
    gate       text        NOT NULL,
    scanned_by text COLLATE "C" NOT NULL,
    scanned_at timestamptz, -- as the gate says; null: it does not
    at         timestamptz NOT NULL, -- when Redis had it
    PRIMARY KEY (event_id, epoch, seq)
) PARTITION BY RANGE (event_id);
CREATE TABLE scans_rest PARTITION OF scans DEFAULT;
CREATE INDEX scans_by_ticket ON scans (event_id, ticket_id);

-- cut_bookings --
-- The version guard makes a replay change nothing.
UPDATE bookings SET version = cut.version, total_minor = cut.total_minor, cuts = cut.cuts
FROM unnest($1::text[], $2::text[], $3::smallint[], $4::bigint[], $5::text[])
    AS cut (event_id, id, version, total_minor, cuts)
WHERE bookings.event_id = cut.event_id AND bookings.id = cut.id
  AND bookings.version < cut.version;

-- cut_items --
-- Lines that are left with less; a line that is wholly gone is deleted by `drop_items`.
UPDATE items SET quantity = cut.quantity
FROM unnest($1::text[], $2::text[], $3::smallint[], $4::smallint[])
    AS cut (event_id, booking_id, tier_no, quantity)
WHERE items.event_id = cut.event_id AND items.booking_id = cut.booking_id
  AND items.tier_no = cut.tier_no;

-- drop_items --
DELETE FROM items
USING unnest($1::text[], $2::text[], $3::smallint[]) AS gone (event_id, booking_id, tier_no)
WHERE items.event_id = gone.event_id AND items.booking_id = gone.booking_id
  AND items.tier_no = gone.tier_no;

-- change_tickets --
UPDATE tickets
SET status = new.status, version = new.version, holder_id = new.holder_id, changed_at = new.at,
    gate = new.gate, changed_by = new.by, epoch = $1, seq = new.seq
FROM unnest($2::text[], $3::text[], $4::text[], $5::integer[], $6::text[], $7::timestamptz[],
            $8::text[], $9::text[], $10::bigint[])
    AS new (event_id, id, status, version, holder_id, at, gate, by, seq)
WHERE tickets.event_id = new.event_id AND tickets.id = new.id;

-- set_capacities --
UPDATE tiers SET capacity = new.capacity
FROM unnest($1::text[], $2::smallint[], $3::integer[]) AS new (event_id, tier_no, capacity)
WHERE tiers.event_id = new.event_id AND tiers.tier_no = new.tier_no;

-- change_sales --
-- Every change counts up the version once per batch, and with it the event's ETag.
UPDATE events
SET version = events.version + 1,
    status = coalesce(new.status::event_status, events.status),
    sale_closes_at = coalesce(new.closes_at, events.sale_closes_at),
    cancelled_at = coalesce(new.cancelled_at, events.cancelled_at)
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[])
    AS new (id, status, closes_at, cancelled_at)
WHERE events.id = new.id;

-- claim_version --
-- An organizer's change of an event, if it is still as the organizer has seen it.
UPDATE events
SET version = version + 1,
    name = coalesce($3, name), description = coalesce($4, description),
    category = coalesce($5, category), venue = coalesce($6, venue)
WHERE id = $1 AND version = $2
RETURNING version;

-- change_draft --
UPDATE events SET sale_closes_at = coalesce($2, sale_closes_at) WHERE id = $1 AND status = 'draft';

-- change_draft_tiers --
UPDATE tiers SET capacity = new.capacity
FROM unnest($2::smallint[], $3::integer[]) AS new (tier_no, capacity)
WHERE tiers.event_id = $1 AND tiers.tier_no = new.tier_no
  AND EXISTS (SELECT FROM events WHERE id = $1 AND status = 'draft');

-- ticket_rows --
-- The tickets of some bookings, each with what is needed to say whether it lives.
SELECT tickets.event_id, tickets.id, tickets.booking_id, tickets.tier_no, tickets.status,
       tickets.version, tickets.holder_id, tickets.changed_at, tickets.gate,
       bookings.user_id AS owner_id, bookings.status::text AS booking_status,
       coalesce((SELECT quantity FROM items
                 WHERE items.event_id = tickets.event_id
                   AND items.booking_id = tickets.booking_id
                   AND items.tier_no = tickets.tier_no), 0) AS quantity
FROM tickets JOIN bookings
    ON bookings.event_id = tickets.event_id AND bookings.id = tickets.booking_id
WHERE (tickets.event_id, tickets.booking_id) IN (SELECT * FROM unnest($1::text[], $2::text[]));

-- tickets_held_by --
-- One page of tickets of others' bookings that a person has, the latest changed first, continuing
-- after (changed_at, id).
SELECT tickets.event_id, tickets.booking_id, tickets.id FROM tickets JOIN bookings
    ON bookings.event_id = tickets.event_id AND bookings.id = tickets.booking_id
WHERE tickets.holder_id = $1 AND bookings.user_id <> $1
  AND (tickets.changed_at, tickets.id) < ($2, $3)
ORDER BY tickets.changed_at DESC, tickets.id DESC LIMIT $4;

-- audit_ticket_changes --
-- Tickets that were ever changed.
SELECT event_id, id, status, version, holder_id,
       (extract(epoch FROM changed_at) * 1000)::bigint AS at_ms, gate, changed_by, epoch, seq
FROM tickets WHERE event_id = ANY($1::text[]) AND seq IS NOT NULL;

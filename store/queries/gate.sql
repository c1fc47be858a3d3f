-- cut_bookings --
-- The version guard makes a replay change nothing.
UPDATE bookings SET version = cut.version, total_minor = cut.total_minor, cuts = cut.cuts
FROM unnest($1::text[], $2::text[], $3::smallint[], $4::bigint[], $5::text[])
    AS cut (event_id, id, version, total_minor, cuts)
WHERE bookings.event_id = cut.event_id AND bookings.id = cut.id
  AND bookings.version < cut.version;

-- cut_items --
-- Lines that are left with less; a line that is wholly gone is deleted by `drop_items`.
UPDATE items SET quantity = cut.quantity, seat_ids = cut.seat_ids
FROM unnest($1::text[], $2::text[], $3::smallint[], $4::smallint[], $5::text[])
    AS cut (event_id, booking_id, tier_no, quantity, seat_ids)
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

-- remember_scans --
-- What tickets remember of their scans, where it is another than it was.
UPDATE tickets SET scans = new.scans
FROM unnest($1::text[], $2::text[], $3::text[]) AS new (event_id, id, scans)
WHERE tickets.event_id = new.event_id AND tickets.id = new.id
  AND tickets.scans IS DISTINCT FROM new.scans;

-- insert_scans --
-- The record's place makes a replay change nothing.
INSERT INTO scans (epoch, event_id, seq, ticket_id, booking_id, scan_id, what, gate, scanned_by,
                   scanned_at, at)
SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
                         $8::text[], $9::text[], $10::timestamptz[], $11::timestamptz[])
ON CONFLICT DO NOTHING;

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
    cancelled_at = coalesce(new.cancelled_at, events.cancelled_at),
    pools = coalesce(new.pools, events.pools)
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[])
    AS new (id, status, closes_at, cancelled_at, pools)
WHERE events.id = new.id;

-- amend_event --
-- What else than its end an amendment changes of a sale; `change_sales` counts up the version.
UPDATE events
SET sale_opens_at = coalesce($2, sale_opens_at), person_max = coalesce($3, person_max),
    offer_ttl_ms = coalesce($4, offer_ttl_ms)
WHERE id = $1;

-- add_tiers --
-- Tiers that were added to a sale; `amend_tiers` writes the rest of them.
INSERT INTO tiers (event_id, tier_no, id, name, price_minor, capacity, order_max, is_hidden,
                   sells_after_end)
SELECT $1, tier_no, id, name, 0, capacity, 1, is_hidden, sells_after_end
FROM unnest($2::smallint[], $3::text[], $4::text[], $5::integer[], $6::boolean[], $7::boolean[])
    AS new (tier_no, id, name, capacity, is_hidden, sells_after_end)
ON CONFLICT (event_id, tier_no) DO NOTHING;

-- amend_tiers --
UPDATE tiers
SET price_minor = new.price_minor, order_max = new.order_max, order_min = new.order_min,
    person_max = new.person_max, sale_opens_at = new.opens_at, sale_closes_at = new.closes_at
FROM unnest($2::smallint[], $3::bigint[], $4::smallint[], $5::smallint[], $6::integer[],
            $7::timestamptz[], $8::timestamptz[])
    AS new (tier_no, price_minor, order_max, order_min, person_max, opens_at, closes_at)
WHERE tiers.event_id = $1 AND tiers.tier_no = new.tier_no;

-- amend_promo --
INSERT INTO promos (event_id, code, uses_max, percent, amount_minor, tier_nos)
VALUES ($1, $2, $3, $4, $5, $6::smallint[])
ON CONFLICT (event_id, code) DO UPDATE SET uses_max = excluded.uses_max;

-- lock_event --
-- One change of an event by its organizer at a time; nobody else waits for it.
SELECT pg_advisory_xact_lock(1163282297, hashtext($1));

-- change_event --
-- An organizer's change of what is PostgreSQL's own; of a draft alone ($3) the sale's end as well.
UPDATE events
SET version = version + 1,
    sale_closes_at = coalesce($2, sale_closes_at),
    doors_at = CASE WHEN $4 THEN $5 ELSE doors_at END,
    name = coalesce($6, name), description = coalesce($7, description),
    category = coalesce($8, category), venue = coalesce($9, venue), slug = coalesce($10, slug),
    summary = coalesce($11, summary), image = coalesce($12, image),
    image_alt = coalesce($13, image_alt), address = coalesce($14, address),
    place = coalesce($15, place), access_notes = coalesce($16, access_notes),
    languages = coalesce($17, languages)
WHERE id = $1 AND organizer_id = $18
  AND (NOT $3::boolean OR (status = 'draft' AND publishing_at IS NULL))
RETURNING version;

-- move_draft --
UPDATE events
SET timezone = $2, starts_at = $3, ends_at = $4, doors_at = $5, sale_opens_at = $6,
    sale_closes_at = $7
WHERE id = $1 AND organizer_id = $8 AND status = 'draft' AND publishing_at IS NULL;

-- move_event --
-- Which start was told first is kept while the event starts at another.
UPDATE events
SET timezone = $2, starts_at = $3, ends_at = $4, doors_at = $5, version = version + 1,
    postponed_from = nullif(coalesce(postponed_from, starts_at), $3)
WHERE id = $1 AND organizer_id = $6 AND (status <> 'draft' OR publishing_at IS NOT NULL);

-- withdraw_event --
-- Its source may bring it anew.
UPDATE events SET withdrawn_at = now(), source_id = NULL
WHERE id = $1 AND organizer_id = $2 AND status = 'cancelled' AND withdrawn_at IS NULL
RETURNING true;

-- change_draft_tiers --
UPDATE tiers SET capacity = new.capacity
FROM unnest($2::smallint[], $3::integer[]) AS new (tier_no, capacity)
WHERE tiers.event_id = $1 AND tiers.tier_no = new.tier_no AND tiers.organizer_id = $4;

-- change_draft_pools --
UPDATE events SET pools = $2 WHERE id = $1 AND organizer_id = $3;

-- begin_publishing --
-- Waits for a change of the draft that is under way; none begins afterwards.
UPDATE events SET publishing_at = now()
WHERE id = $1 AND organizer_id = $2 AND status = 'draft' AND publishing_at IS NULL;

-- restate_event --
-- The rows of a sale as its records have it; for repairs.
UPDATE events
SET version = version + 1, shard = $2, status = $3::event_status, sale_opens_at = $4,
    sale_closes_at = $5, person_max = $6, cancelled_at = $7, published_at = $8,
    transfers = coalesce($9, transfers), offer_ttl_ms = coalesce($10, offer_ttl_ms),
    pools = coalesce($11, pools)
WHERE id = $1;

-- restate_tiers --
UPDATE tiers
SET price_minor = new.price_minor, capacity = new.capacity, order_max = new.order_max,
    order_min = new.order_min, person_max = new.person_max, sale_opens_at = new.opens_at,
    sale_closes_at = new.closes_at, is_hidden = new.is_hidden,
    sells_after_end = coalesce(new.sells_after_end, tiers.sells_after_end)
FROM unnest($2::smallint[], $3::bigint[], $4::integer[], $5::smallint[], $6::smallint[],
            $7::integer[], $8::timestamptz[], $9::timestamptz[], $10::boolean[], $11::boolean[])
    AS new (tier_no, price_minor, capacity, order_max, order_min, person_max, opens_at, closes_at,
            is_hidden, sells_after_end)
WHERE tiers.event_id = $1 AND tiers.tier_no = new.tier_no;

-- drop_promos_of --
DELETE FROM promos WHERE event_id = $1;

-- insert_promo_of --
INSERT INTO promos (event_id, code, uses_max, percent, amount_minor, tier_nos)
VALUES ($1, $2, $3, $4, $5, $6::smallint[]);

-- ticket_rows --
-- The tickets of some bookings, each with what is needed to say whether it lives.
SELECT tickets.event_id, tickets.id, tickets.booking_id, tickets.tier_no, tickets.status,
       tickets.version, tickets.holder_id, tickets.changed_at, tickets.gate, tickets.changed_by,
       tickets.seat_id, bookings.user_id AS owner_id, bookings.status::text AS booking_status,
       bookings.cuts
FROM tickets JOIN bookings
    ON bookings.event_id = tickets.event_id AND bookings.id = tickets.booking_id
WHERE (tickets.event_id, tickets.booking_id) IN (SELECT * FROM unnest($1::text[], $2::text[]));

-- tickets_of_event --
-- One page by id: all tickets of an event, or those alone that something may have become of.
SELECT tickets.event_id, tickets.id, tickets.booking_id, tickets.tier_no, tickets.status,
       tickets.version, tickets.holder_id, tickets.changed_at, tickets.gate, tickets.changed_by,
       tickets.seat_id, bookings.user_id AS owner_id, bookings.status::text AS booking_status,
       bookings.cuts
FROM tickets JOIN bookings
    ON bookings.event_id = tickets.event_id AND bookings.id = tickets.booking_id
WHERE tickets.event_id = $1 AND tickets.id > $2
  AND (NOT $4::boolean OR tickets.seq IS NOT NULL OR bookings.version > 1)
ORDER BY tickets.id LIMIT $3;

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
       (extract(epoch FROM changed_at) * 1000)::bigint AS at_ms, gate, changed_by, epoch, seq,
       coalesce(scans, '') AS scans
FROM tickets WHERE event_id = ANY($1::text[]) AND seq IS NOT NULL;

-- audit_scans --
SELECT scans.event_id, scans.epoch, scans.seq, ticket_id, booking_id, scan_id, what, gate,
       scanned_by, coalesce((extract(epoch FROM scanned_at) * 1000)::bigint, 0) AS scanned_at_ms,
       (extract(epoch FROM at) * 1000)::bigint AS at_ms
FROM scans JOIN events ON events.id = scans.event_id
WHERE events.shard = $1 AND ($2::text[] IS NULL OR scans.event_id = ANY($2::text[]));

-- audit_lost_scans --
-- Scans that a ticket remembers and that have no row of their own.
SELECT tickets.event_id, tickets.id, split_part(scan, ':', 1) AS scan_id
FROM tickets, unnest(string_to_array(tickets.scans, ',')) AS scan
WHERE tickets.event_id = ANY($1::text[]) AND NOT EXISTS (
    SELECT FROM scans
    WHERE scans.event_id = tickets.event_id AND scans.epoch = split_part(scan, ':', 5)::bigint
      AND scans.seq = split_part(scan, ':', 6)::bigint AND scans.ticket_id = tickets.id)
LIMIT $2;

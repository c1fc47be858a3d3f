-- booking_by_id --
-- The bounds of the event's id come from the booking's own and lead to its partition.
SELECT id, event_id, user_id, status::text AS status, version, total_minor, shard, epoch, seq,
       created_at, cancelled_at, special_requests, metadata::text AS metadata
FROM bookings WHERE id = $1 AND event_id BETWEEN $2 AND $3;

-- bookings_of_user --
-- One page, newest first, continuing after (created_at, id).
SELECT id, event_id, user_id, status::text AS status, version, total_minor, shard, epoch, seq,
       created_at, cancelled_at, special_requests, metadata::text AS metadata
FROM bookings
WHERE user_id = $1 AND (created_at, id) < ($2, $3)
ORDER BY created_at DESC, id DESC LIMIT $4;

-- next_of_user --
-- Of the events that are not over and that a person has a live booking or a ticket of, the one that
-- begins first, with a booking or ticket of it.
SELECT found.event_id, found.id, events.name, events.starts_at, events.timezone, events.venue
FROM (
    SELECT event_id, id FROM bookings WHERE user_id = $1 AND status = 'confirmed'
    UNION ALL
    SELECT tickets.event_id, tickets.id
    FROM tickets
    JOIN bookings ON bookings.event_id = tickets.event_id AND bookings.id = tickets.booking_id
    WHERE tickets.holder_id = $1 AND bookings.user_id <> $1 AND bookings.status = 'confirmed'
      AND tickets.status <> 'cancelled'
) AS found
JOIN events ON events.id = found.event_id
WHERE (CASE WHEN events.ends_at > events.starts_at THEN events.ends_at
            ELSE events.starts_at + interval '1 day' END) > now()
  AND events.status <> 'cancelled'
ORDER BY events.starts_at, found.event_id, found.id LIMIT 1;

-- bookings_of_event --
-- One page by id.
SELECT id, event_id, user_id, status::text AS status, version, total_minor, shard, epoch, seq,
       created_at, cancelled_at, special_requests, metadata::text AS metadata
FROM bookings
WHERE event_id = $1 AND id > $2
ORDER BY id LIMIT $3;

-- items_of_bookings --
SELECT event_id, booking_id, line, tier_no, quantity, unit_price_minor, seat_ids
FROM items WHERE (event_id, booking_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
ORDER BY booking_id, line;

-- booking_details --
SELECT id, coalesce(special_requests, '') AS special_requests,
       coalesce(metadata::text, '{}') AS metadata
FROM bookings WHERE (event_id, id) IN (SELECT * FROM unnest($1::text[], $2::text[]));

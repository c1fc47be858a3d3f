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

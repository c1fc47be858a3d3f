-- orders_of_event --
-- One page by id, with who booked. What is searched for ($5) is how an id begins; where people are
-- shown ($6), also how an address or a word of a name does.
SELECT bookings.id, bookings.event_id, bookings.user_id, bookings.status::text AS status,
       bookings.version, bookings.total_minor, bookings.shard, bookings.epoch, bookings.seq,
       bookings.created_at, bookings.cancelled_at, bookings.special_requests,
       bookings.metadata::text AS metadata, bookings.fingerprint, bookings.cuts,
       users.name, users.email
FROM bookings LEFT JOIN users ON users.id = bookings.user_id AND users.erased_at IS NULL
WHERE bookings.event_id = $1 AND bookings.id > $2
  AND ($4::text IS NULL OR bookings.status = $4::text::booking_status)
  AND ($5::text IS NULL OR starts_with(bookings.id, $5)
       OR ($6::boolean AND (starts_with(lower(users.email), lower($5))
                            OR strpos(' ' || lower(users.name), ' ' || lower($5)) > 0)))
ORDER BY bookings.id LIMIT $3;

-- order_of_event --
-- One of them.
SELECT bookings.id, bookings.event_id, bookings.user_id, bookings.status::text AS status,
       bookings.version, bookings.total_minor, bookings.shard, bookings.epoch, bookings.seq,
       bookings.created_at, bookings.cancelled_at, bookings.special_requests,
       bookings.metadata::text AS metadata, bookings.fingerprint, bookings.cuts,
       users.name, users.email
FROM bookings LEFT JOIN users ON users.id = bookings.user_id AND users.erased_at IS NULL
WHERE bookings.event_id = $1 AND bookings.id = $2;

-- scans_of_tickets --
SELECT ticket_id, what, gate, scanned_by, at FROM scans
WHERE event_id = $1 AND ticket_id = ANY ($2::text[])
ORDER BY epoch, seq LIMIT $3;

-- order_notes_of --
-- Of some orders of an event, the oldest first; or those alone that settle money.
SELECT id, booking_id, written_by, written_at, text, refund, refund_minor, refund_version
FROM order_notes
WHERE event_id = $1 AND booking_id = ANY ($2::text[]) AND (refund IS NOT NULL OR NOT $3::boolean)
ORDER BY written_at, id;

-- insert_order_note --
-- At most so many ($11) of one order; a note that is there is not written again.
INSERT INTO order_notes (id, organizer_id, event_id, booking_id, user_id, written_by, text, refund,
                         refund_minor, refund_version)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
WHERE (SELECT count(*) FROM order_notes WHERE event_id = $3 AND booking_id = $4) < $11
ON CONFLICT DO NOTHING
RETURNING id, booking_id, written_by, written_at, text, refund, refund_minor, refund_version;

-- waiting_at_event --
-- One page of those who wait at an event or have an offer, by tier and in the order of its list,
-- with the places that those before them wait for, and whether their person has an offer.
SELECT * FROM (
    SELECT entry.id, entry.user_id, entry.tier_no, entry.quantity, entry.status::text AS status,
           entry.join_no, entry.joined_at, entry.offered_at, users.name, users.email,
           count(*) FILTER (WHERE status = 'waiting') OVER list AS position,
           coalesce(sum(quantity) FILTER (WHERE status = 'waiting') OVER list, 0) AS places,
           bool_or(status = 'offered') OVER (PARTITION BY entry.user_id) AS has_offer
    FROM waitlist_entries AS entry
        LEFT JOIN users ON users.id = entry.user_id AND users.erased_at IS NULL
    WHERE event_id = $1 AND status IN ('waiting', 'offered')
    WINDOW list AS (PARTITION BY tier_no ORDER BY join_no)
) AS listed
WHERE (tier_no, join_no) > ($2::smallint, $3::text)
ORDER BY tier_no, join_no LIMIT $4;

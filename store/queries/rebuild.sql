-- wait_long --
SET statement_timeout = 0;

-- wait_as_usual --
RESET statement_timeout;

-- rebuild_events --
-- All events of a shard, drafts as well: their seats may be loaded.
SELECT id, status::text AS status FROM events WHERE shard = $1 ORDER BY id;

-- rebuild_counts --
-- How much there is to do.
SELECT event_id, count(*) AS bookings FROM bookings WHERE shard = $1 GROUP BY event_id;

-- rebuild_bookings --
-- The bookings of some events exactly as Redis keeps them (docs/DATA.md), one row of text each;
-- marked where the cuts name tickets.
SELECT bookings.event_id, bookings.id,
       concat_ws(' ', CASE WHEN cuts LIKE '%#%' THEN '=2' END,
                 status, version, epoch, seq, (date_part('epoch', created_at) * 1000)::bigint,
                 user_id, fingerprint, lines.items || coalesce('/' || cuts, ''),
                 CASE status WHEN 'cancelled' THEN
                     concat_ws(' ', coalesce(cancelled_epoch, 0), coalesce(cancelled_seq, 0),
                               (date_part('epoch', cancelled_at) * 1000)::bigint) END)
FROM bookings LEFT JOIN (
    SELECT event_id, booking_id,
           string_agg(concat_ws(':', tier_no, quantity, unit_price_minor, nullif(seat_ids, '')),
                      ',' ORDER BY line) AS items
    FROM items WHERE event_id = ANY ($1::text[]) GROUP BY event_id, booking_id
) AS lines ON lines.event_id = bookings.event_id AND lines.booking_id = bookings.id
WHERE bookings.event_id = ANY ($1::text[]);

-- rebuild_persons --
-- What each person has of some events: places in live bookings.
SELECT bookings.event_id, user_id, sum(quantity)
FROM bookings JOIN items
    ON items.event_id = bookings.event_id AND items.booking_id = bookings.id
WHERE bookings.event_id = ANY ($1::text[]) AND status = 'confirmed'
GROUP BY bookings.event_id, user_id;

-- rebuild_tier_persons --
-- The same by tier, for tiers that have a limit per person.
SELECT bookings.event_id, user_id || '/' || items.tier_no, sum(quantity)
FROM bookings JOIN items
    ON items.event_id = bookings.event_id AND items.booking_id = bookings.id
WHERE status = 'confirmed' AND (items.event_id, items.tier_no) IN (
    SELECT event_id, tier_no FROM tiers WHERE event_id = ANY ($1::text[]) AND person_max > 0)
GROUP BY bookings.event_id, user_id, items.tier_no;

-- rebuild_sold --
SELECT bookings.event_id, items.tier_no, sum(quantity) AS places
FROM bookings JOIN items
    ON items.event_id = bookings.event_id AND items.booking_id = bookings.id
WHERE bookings.event_id = ANY ($1::text[]) AND status = 'confirmed'
GROUP BY bookings.event_id, items.tier_no;

-- rebuild_promos --
SELECT event_id, promo_code, count(*) AS uses FROM bookings
WHERE event_id = ANY ($1::text[]) AND status = 'confirmed' AND promo_code IS NOT NULL
GROUP BY event_id, promo_code;

-- rebuild_seats --
-- Seats that somebody has, of some events.
SELECT event_id, seat_id FROM tickets
WHERE event_id = ANY ($1::text[]) AND is_live AND seat_id IS NOT NULL;

-- rebuild_first_offer --
-- When the oldest offer that nobody has answered was made.
SELECT min(offered_at) FROM waitlist_entries WHERE shard = $1 AND status = 'offered';

-- rebuild_journal_since --
-- The journal from a moment on, beginning with the batch that was under way then: the one before
-- the first that began since, for records that came late to the end of the journal are older.
WITH since AS (
    SELECT epoch, first_seq FROM journal WHERE shard = $1 AND first_at >= $2
    ORDER BY epoch, first_seq LIMIT 1)
SELECT epoch, first_seq, last_seq, records FROM journal
WHERE shard = $1 AND (epoch, first_seq) >= (
    SELECT epoch, first_seq FROM (
        SELECT epoch, first_seq FROM journal WHERE shard = $1 AND (
            NOT EXISTS (SELECT FROM since)
            OR (epoch, first_seq) < (SELECT epoch, first_seq FROM since))
        UNION ALL SELECT 0, 0) AS earlier
    ORDER BY epoch DESC, first_seq DESC LIMIT 1)
ORDER BY epoch, first_seq;

-- rebuild_record --
-- The batch that one record stands in.
SELECT epoch, first_seq, last_seq, records FROM journal
WHERE shard = $1 AND epoch = $2 AND first_seq <= $3 AND last_seq >= $3;

-- insert_journal --
-- A batch of which no record reads has no moment of its own.
INSERT INTO journal (shard, epoch, first_seq, last_seq, first_at, records)
VALUES ($1, $2, $3, $4, coalesce(to_timestamp($5::bigint / 1000.0), now()), $6);

-- insert_bookings --
-- The conflict target is the booking alone: a conflict of any other kind must raise (F29).
-- One row comes back per booking that was not there.
INSERT INTO bookings (id, event_id, user_id, status, version, total_minor, shard, epoch, seq,
                      created_at, cancelled_at, fingerprint, special_requests, metadata, cuts,
                      cancelled_epoch, cancelled_seq)
SELECT id, event_id, user_id, status::booking_status, version, total_minor, $1, $2::bigint, seq,
       created_at, cancelled_at, fingerprint, special_requests, metadata::jsonb, cuts,
       CASE WHEN cancelled_seq IS NOT NULL THEN $2::bigint END, cancelled_seq
FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::smallint[], $8::bigint[],
            $9::bigint[], $10::timestamptz[], $11::timestamptz[], $12::text[], $13::text[],
            $14::text[], $15::text[], $16::bigint[])
    AS new (id, event_id, user_id, status, version, total_minor, seq, created_at, cancelled_at,
            fingerprint, special_requests, metadata, cuts, cancelled_seq)
ON CONFLICT (event_id, id) DO NOTHING
RETURNING id;

-- foreign_bookings --
-- Of some bookings those that another record has made.
SELECT bookings.id
FROM bookings JOIN unnest($3::text[], $4::text[], $5::bigint[]) AS own (event_id, id, seq)
    ON bookings.event_id = own.event_id AND bookings.id = own.id
WHERE (bookings.shard, bookings.epoch, bookings.seq) <> ($1, $2, own.seq);

-- insert_items --
INSERT INTO items (event_id, booking_id, line, tier_no, quantity, unit_price_minor, seat_ids)
SELECT * FROM unnest($1::text[], $2::text[], $3::smallint[], $4::smallint[], $5::smallint[],
                     $6::bigint[], $7::text[])
ON CONFLICT (event_id, booking_id, line) DO NOTHING;

-- insert_tickets --
INSERT INTO tickets (event_id, id, booking_id, tier_no, seat_id, is_live)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::text[],
                     $6::boolean[])
ON CONFLICT (event_id, id) DO NOTHING;

-- cancel_bookings --
-- The guard of the status makes a replay change nothing and keeps `cancelled` final (I10).
UPDATE bookings
SET status = 'cancelled', version = version + 1, cancelled_at = gone.at,
    cancelled_epoch = $1, cancelled_seq = gone.seq
FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::bigint[]) AS gone (event_id, id, at, seq)
WHERE bookings.event_id = gone.event_id AND bookings.id = gone.id AND bookings.status = 'confirmed';

-- publish_events --
UPDATE events SET status = 'published', published_at = new.at
FROM unnest($1::text[], $2::timestamptz[]) AS new (id, at)
WHERE events.id = new.id AND events.status = 'draft';

-- drop_bookings_of --
-- For `rederive` alone: within the transaction that writes them again from their records.
DELETE FROM bookings WHERE event_id = $1 AND id = ANY($2::text[]);

-- drop_items_of --
DELETE FROM items WHERE event_id = $1 AND booking_id = ANY($2::text[]);

-- drop_tickets_of --
DELETE FROM tickets WHERE event_id = $1 AND booking_id = ANY($2::text[]);

-- drop_scans_of --
DELETE FROM scans WHERE event_id = $1 AND booking_id = ANY($2::text[]);

-- drop_scans_at --
-- Of some records, whatever booking their rows say they are of.
DELETE FROM scans USING unnest($2::bigint[], $3::bigint[]) AS at (epoch, seq)
WHERE scans.event_id = $1 AND scans.epoch = at.epoch AND scans.seq = at.seq;

-- drop_batches --
-- For `refile` alone: within the transaction that writes their records again.
DELETE FROM journal WHERE shard = $1 AND epoch = $2 AND last_seq >= $3 AND first_seq <= $4;

-- drop_blocked_of --
DELETE FROM blocked_seats WHERE event_id = $1;

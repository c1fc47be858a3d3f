-- write_redo --
-- What a worker knows to be acknowledged and cannot know to be in PostgreSQL.
INSERT INTO redo (shard, epoch, seq, record, worker)
SELECT $1, epoch, seq, record, $2
FROM unnest($3::bigint[], $4::bigint[], $5::text[]) AS new (epoch, seq, record)
ON CONFLICT (shard, epoch, seq, worker) DO NOTHING;

-- has_redo --
SELECT EXISTS (SELECT FROM redo WHERE shard = $1);

-- read_redo --
-- Each record once, however many workers know it.
SELECT DISTINCT epoch, seq, record FROM redo WHERE shard = $1 ORDER BY epoch, seq, record;

-- delete_redo --
DELETE FROM redo USING unnest($2::bigint[], $3::bigint[], $4::text[]) AS done (epoch, seq, record)
WHERE redo.shard = $1 AND redo.epoch = done.epoch AND redo.seq = done.seq
  AND redo.record = done.record;

-- insert_conflicts --
INSERT INTO conflicts (shard, epoch, seq, record, reason)
SELECT $1, epoch, seq, record, reason
FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[])
    AS new (epoch, seq, record, reason)
ON CONFLICT (shard, epoch, seq, record) DO NOTHING;

-- redo_bookings --
SELECT id, user_id, status::text AS status, fingerprint, version, created_at, epoch,
       seq
FROM bookings
WHERE (event_id, id) IN (SELECT * FROM unnest($1::text[], $2::text[]));

-- redo_capacities --
-- What each tier of published events has left for bookings: holds give way to acknowledged ones.
SELECT tiers.event_id, tiers.tier_no, tiers.capacity,
       tiers.capacity
       - coalesce((SELECT sum(items.quantity) FROM items JOIN bookings
                       ON bookings.event_id = items.event_id AND bookings.id = items.booking_id
                   WHERE items.event_id = tiers.event_id AND items.tier_no = tiers.tier_no
                     AND bookings.status = 'confirmed'), 0)
       - (SELECT count(*) FROM blocked_seats
          WHERE blocked_seats.event_id = tiers.event_id
            AND blocked_seats.tier_no = tiers.tier_no) AS left_places
FROM tiers JOIN events ON events.id = tiers.event_id
WHERE events.id = ANY ($1::text[]) AND events.status <> 'draft';

-- redo_seats --
-- Those of the seats that somebody has, or the organizer.
SELECT event_id, seat_id, false AS is_blocked FROM tickets
WHERE is_live AND (event_id, seat_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
UNION
SELECT event_id, seat_id, true FROM blocked_seats
WHERE (event_id, seat_id) IN (SELECT * FROM unnest($1::text[], $2::text[]));

-- redo_events --
SELECT id, status::text AS status, pools FROM events WHERE id = ANY ($1::text[]);

-- redo_entries --
-- Entries that are named; live ones of people who join, and those that have a place asked for.
SELECT event_id, id, user_id, fingerprint, tier_no, status::text AS status, join_no, joined_at,
       epoch, seq
FROM waitlist_entries
WHERE event_id = ANY ($1::text[])
  AND (id = ANY ($2::text[]) OR join_no = ANY ($4::text[])
       OR (user_id = ANY ($3::text[]) AND status IN ('waiting', 'offered')));

-- redo_last_joins --
SELECT event_id, tier_no, max(join_no) AS join_no FROM waitlist_entries
WHERE event_id = ANY ($1::text[]) GROUP BY event_id, tier_no;

-- redo_tickets --
SELECT tickets.id, tickets.status, tickets.version,
       coalesce(tickets.holder_id, bookings.user_id) AS holder_id,
       coalesce((extract(epoch FROM tickets.changed_at) * 1000)::bigint, 0) AS at_ms,
       coalesce(tickets.scans, '') AS scans, bookings.cuts
FROM tickets JOIN bookings
    ON bookings.event_id = tickets.event_id AND bookings.id = tickets.booking_id
WHERE (tickets.event_id, tickets.id) IN (SELECT * FROM unnest($1::text[], $2::text[]));

-- redo_journal --
-- The batches of an epoch that some records stand in.
SELECT DISTINCT batch.first_seq, batch.records
FROM unnest($3::bigint[]) AS asked (seq), LATERAL (
    SELECT first_seq, last_seq, records FROM journal
    WHERE shard = $1 AND epoch = $2 AND first_seq <= asked.seq
    ORDER BY first_seq DESC LIMIT 1) AS batch
WHERE batch.last_seq >= asked.seq;

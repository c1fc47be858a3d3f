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
SELECT id, user_id, status::text AS status, fingerprint, epoch, seq, cancelled_epoch, cancelled_seq
FROM bookings
WHERE (event_id, id) IN (SELECT * FROM unnest($1::text[], $2::text[]));

-- redo_capacities --
-- What each tier of published events has left for bookings: holds give way to acknowledged ones.
SELECT tiers.event_id, tiers.tier_no,
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
-- Those of the seats that somebody has.
SELECT event_id, seat_id FROM tickets
WHERE is_live AND (event_id, seat_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
UNION
SELECT event_id, seat_id FROM blocked_seats
WHERE (event_id, seat_id) IN (SELECT * FROM unnest($1::text[], $2::text[]));

-- audit_events --
-- What is known of a shard's events: the organizer's row, whatever its status.
SELECT id, shard, status::text AS status FROM events WHERE shard = $1 ORDER BY id;

-- audit_unknown_shards --
SELECT shard FROM (
    SELECT DISTINCT shard FROM events WHERE status <> 'draft'
    UNION SELECT DISTINCT shard FROM shard_checkpoint) AS named
WHERE NOT EXISTS (SELECT FROM shard_epoch WHERE shard_epoch.shard = named.shard)
ORDER BY shard;

-- audit_event_rows --
SELECT id, shard, status::text AS status,
       floor(extract(epoch FROM sale_closes_at) * 1000)::bigint AS closes_at_ms,
       floor(extract(epoch FROM sale_opens_at) * 1000)::bigint AS opens_at_ms,
       person_max, transfers, offer_ttl_ms, pools,
       floor(extract(epoch FROM cancelled_at) * 1000)::bigint AS cancelled_at_ms,
       floor(extract(epoch FROM published_at) * 1000)::bigint AS published_at_ms
FROM events WHERE id = ANY($1::text[]);

-- audit_tiers --
SELECT event_id, tier_no, id, price_minor, capacity, order_max, order_min, person_max,
       coalesce(floor(extract(epoch FROM sale_opens_at) * 1000), 0)::bigint AS opens_at_ms,
       coalesce(floor(extract(epoch FROM sale_closes_at) * 1000), 0)::bigint AS closes_at_ms,
       is_hidden::int AS is_hidden, sells_after_end::int AS sells_after_end
FROM tiers WHERE event_id = ANY($1::text[]) ORDER BY event_id, tier_no;

-- audit_promos --
SELECT event_id, code, uses_max, percent, amount_minor, tier_nos
FROM promos WHERE event_id = ANY($1::text[]) ORDER BY event_id, code;

-- audit_journal --
-- A shard's journal from a place on, in order.
SELECT epoch, first_seq, last_seq, records,
       (extract(epoch FROM first_at) * 1000)::bigint AS first_at_ms
FROM journal
WHERE shard = $1 AND (epoch, first_seq) > ($2::bigint, $3::bigint)
ORDER BY epoch, first_seq;

-- audit_shard_bookings --
-- All bookings of a shard with their lines, in no order: a shard may have more than memory holds.
SELECT id, event_id, user_id, status::text AS status, version, total_minor, shard, epoch, seq,
       (extract(epoch FROM created_at) * 1000)::bigint AS at_ms,
       (extract(epoch FROM cancelled_at) * 1000)::bigint AS cancelled_at_ms,
       fingerprint, special_requests, metadata, cuts,
       (SELECT string_agg(format('%s:%s:%s', tier_no, quantity, unit_price_minor)
                          || CASE seat_ids WHEN '' THEN '' ELSE ':' || seat_ids END, ','
                          ORDER BY line)
        FROM items WHERE items.event_id = bookings.event_id AND items.booking_id = bookings.id)
           AS items,
       cancelled_epoch, cancelled_seq
FROM bookings WHERE shard = $1;

-- audit_bookings --
-- The same columns, for some events.
SELECT id, event_id, user_id, status::text AS status, version, total_minor, shard, epoch, seq,
       (extract(epoch FROM created_at) * 1000)::bigint AS at_ms,
       (extract(epoch FROM cancelled_at) * 1000)::bigint AS cancelled_at_ms,
       fingerprint, special_requests, metadata, cuts,
       (SELECT string_agg(format('%s:%s:%s', tier_no, quantity, unit_price_minor)
                          || CASE seat_ids WHEN '' THEN '' ELSE ':' || seat_ids END, ','
                          ORDER BY line)
        FROM items WHERE items.event_id = bookings.event_id AND items.booking_id = bookings.id)
           AS items,
       cancelled_epoch, cancelled_seq
FROM bookings WHERE event_id = ANY($1::text[]);

-- audit_tickets --
SELECT event_id, booking_id, id, tier_no, seat_id, is_live FROM tickets
WHERE event_id = ANY($1::text[]);

-- audit_orphan_items --
-- Lines whose booking has no row; no foreign key forbids them.
SELECT event_id, booking_id, tier_no FROM items
WHERE event_id = ANY($1::text[]) AND NOT EXISTS (
    SELECT FROM bookings
    WHERE bookings.event_id = items.event_id AND bookings.id = items.booking_id)
ORDER BY event_id, booking_id, line LIMIT $2;

-- audit_sale_changes --
-- Batches of the journal from a place on that may say something of an event's sale, in order. The
-- condition is that of the index `journal_sale_changes`, word for word.
SELECT epoch, first_seq, last_seq, records FROM journal
WHERE shard = $1 AND (epoch, first_seq) > ($2::bigint, $3::bigint)
  AND (strpos(records, '"kind":"published"') > 0
       OR strpos(records, '"kind":"capacity_set"') > 0
       OR strpos(records, '"kind":"closed"') > 0
       OR strpos(records, '"kind":"reopened"') > 0
       OR strpos(records, '"kind":"amended"') > 0
       OR strpos(records, '"kind":"event_cancelled"') > 0)
ORDER BY epoch, first_seq;

-- audit_shards_of_events --
SELECT DISTINCT shard FROM events WHERE id BETWEEN $1 AND $2 ORDER BY shard;

-- untold_epochs --
-- Epochs whose archive is further than it was followed, and how far that was.
SELECT place.shard, place.epoch, coalesce(told.last_seq, 0) AS last_seq
FROM shard_checkpoint AS place LEFT JOIN told USING (shard, epoch)
WHERE place.last_seq > coalesce(told.last_seq, 0)
ORDER BY place.shard, place.epoch;

-- note_told --
INSERT INTO told (shard, epoch, last_seq) VALUES ($1, $2, $3)
ON CONFLICT (shard, epoch) DO UPDATE SET last_seq = excluded.last_seq, changed_at = now();

-- take_outbox --
-- Rows of which no deliveries were made, as far as they are committed.
UPDATE outbox SET taken_at = now()
WHERE id IN (SELECT id FROM outbox WHERE taken_at IS NULL AND kind <> 'event.changed'
             ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING id, kind, event_id, user_id, subject_id, shard, epoch, seq, mark,
          until, coalesce(payload ->> 'to', '') AS target;

-- wide_row --
-- The oldest row that is for all who have bookings or tickets of its event.
SELECT id, event_id FROM outbox WHERE taken_at IS NULL AND kind = 'event.changed'
ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED;

-- take_row --
UPDATE outbox SET taken_at = now() WHERE id = $1;

-- concerned --
-- Who has $3 bookings of an event, behind one: who booked, and whoever was given a ticket.
WITH page AS (
    SELECT id, user_id FROM bookings
    WHERE event_id = $1 AND id > $2 AND status = 'confirmed' ORDER BY id LIMIT $3
)
SELECT id AS subject_id, user_id, id AS booking_id FROM page
UNION ALL
SELECT tickets.id, tickets.holder_id, NULL
FROM page JOIN tickets ON tickets.event_id = $1 AND tickets.booking_id = page.id
WHERE tickets.holder_id <> page.user_id;

-- insert_deliveries --
-- One for each fact and target, however often the fact comes; in order. What is put into an account
-- is there with its row; what is planned has all its time from when it is due.
INSERT INTO deliveries (fact, channel, target, kind, lane, user_id, event_id, subject_id,
                        booking_id, outbox_id, shard, epoch, seq, until, domain,
                        state, ended_at, due_at, written_at)
SELECT fact, channel, target, kind, lane, user_id, event_id, subject_id, booking_id, outbox_id,
       shard, epoch, seq, until, CASE WHEN channel = 'mail'
           THEN lower(split_part(coalesce(users.email, target), '@', -1)) ELSE domain END,
       CASE WHEN channel = 'account' THEN 'sent' ELSE 'waiting' END::delivery_state,
       CASE WHEN channel = 'account' THEN now() END, coalesce(new.due_at, now()),
       coalesce(new.due_at, now())
FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::text[], $6::text[],
            $7::text[], $8::text[], $9::bigint[], $10::smallint[], $11::bigint[], $12::bigint[],
            $13::timestamptz[], $14::text[], $15::text[], $16::timestamptz[])
     WITH ORDINALITY AS new (fact, target, kind, lane, user_id, event_id, subject_id, booking_id,
                             outbox_id, shard, epoch, seq, until, channel, domain, due_at,
                             number)
     LEFT JOIN users ON users.id = new.target
ORDER BY number
ON CONFLICT (fact, channel, target) DO NOTHING;

-- supersede --
-- What a booking's person has not been told when it ends: its end says it as well.
UPDATE deliveries SET state = 'superseded', ended_at = now()
WHERE state IN ('waiting', 'delayed') AND kind IN ('booking.confirmed', 'booking.changed')
  AND (booking_id, target) IN (SELECT * FROM unnest($1::text[], $2::text[]));

-- claim_deliveries --
-- The next ones of channel $1 in order of lanes, leased for $3 ms. None whose booking has an older
-- one on its way to the same target; and of a domain no more at a time than $6, where $4 and $5 say
-- how many are under way. A lease that is over was of a worker that died: nobody knows how that
-- attempt ended.
WITH near AS (
    SELECT id, lane, due_at, domain FROM deliveries
    WHERE channel = $1 AND state IN ('waiting', 'sending', 'delayed', 'unknown')
      AND due_at <= now() AND domain <> ALL (ARRAY(
          SELECT busy.domain FROM unnest($4::text[], $5::int[]) AS busy (domain, number)
          WHERE busy.number >= $6))
      AND (booking_id IS NULL OR NOT EXISTS (
          SELECT FROM deliveries AS older
          WHERE older.booking_id = deliveries.booking_id AND older.target = deliveries.target
            AND older.channel = deliveries.channel AND older.id < deliveries.id
            AND older.state IN ('waiting', 'sending', 'delayed', 'unknown')))
    ORDER BY lane, due_at, id LIMIT 8 * $2
), fair AS (
    SELECT near.id, near.domain, coalesce(busy.number, 0)
           + row_number() OVER (PARTITION BY near.domain ORDER BY lane, due_at, id) AS number
    FROM near LEFT JOIN unnest($4::text[], $5::int[]) AS busy (domain, number) USING (domain)
), taken AS (
    SELECT id, state = 'sending' AS was_left FROM deliveries
    WHERE id IN (SELECT id FROM fair WHERE number <= $6) AND due_at <= now()
      AND state IN ('waiting', 'sending', 'delayed', 'unknown')
    ORDER BY lane, due_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE deliveries SET
        state = 'sending', attempts = least(attempts + 1, 32767),
        doubts = doubts + was_left::int,
        due_at = now() + $3 * interval '1 ms'
    FROM taken WHERE deliveries.id = taken.id
    RETURNING deliveries.*, taken.was_left
)
SELECT id, fact, target, kind, lane, user_id, event_id, subject_id, booking_id, outbox_id,
       attempts, was_left, written_at, until, domain
FROM claimed ORDER BY lane, id;

-- recipient --
-- Who an account is, and whether its address is somebody else's who has proved it.
SELECT users.email, users.name, coalesce(users.language, '') AS language,
       coalesce(users.timezone, '') AS timezone,
       users.erased_at IS NOT NULL AS is_erased, users.is_claim AND EXISTS (
           SELECT FROM users AS other
           WHERE other.account_key = account_key(users.email) AND other.id <> users.id
             AND other.email_verified_at IS NOT NULL) AS is_anothers
FROM users WHERE users.id = $1;

-- suppression --
-- Why an address takes nothing, unless its owner has proved it since.
SELECT reason FROM suppressions
WHERE address_key = account_key($1) AND NOT EXISTS (
    SELECT FROM users WHERE users.account_key = account_key($1) AND email_verified_at > since);

-- suppress --
INSERT INTO suppressions (address_key, reason) VALUES (account_key($1), $2)
ON CONFLICT (address_key) DO UPDATE SET reason = excluded.reason, since = now();

-- end_attempt --
-- Of the lease that made it; one that is over says nothing any more.
UPDATE deliveries SET
    state = $3::delivery_state, reason = $4,
    due_at = now() + $5 * interval '1 ms',
    doubts = doubts + ($3::delivery_state = 'unknown')::int,
    ended_at = CASE WHEN $3::delivery_state IN ('delayed', 'unknown') THEN NULL ELSE now() END
WHERE id = $1 AND attempts = $2 AND state = 'sending'
RETURNING outbox_id;

-- note_sent --
UPDATE outbox SET sent_at = now() WHERE id = $1;

-- outbox_payload --
SELECT payload::text FROM outbox WHERE id = $1;

-- event_to_tell --
SELECT events.id, events.name, events.venue, events.address, events.timezone, events.currency,
       events.starts_at, events.ends_at, events.doors_at, events.sale_opens_at,
       events.status::text AS status, events.version,
       organizers.name AS organizer
FROM events JOIN organizers ON organizers.id = events.organizer_id
WHERE events.id = $1;

-- booking_to_tell --
-- A booking as it is now, and whether its person was not told that it was made.
SELECT bookings.status::text AS status, bookings.total_minor, bookings.version,
       bookings.created_at, bookings.cancelled_at, EXISTS (
           SELECT FROM deliveries
           WHERE deliveries.booking_id = bookings.id AND kind = 'booking.confirmed'
             AND deliveries.user_id = bookings.user_id AND deliveries.state = 'superseded'
       ) AS was_not_told
FROM bookings WHERE event_id = $1 AND id = $2;

-- lines_to_tell --
SELECT tiers.name, items.quantity, items.unit_price_minor, items.seat_ids
FROM items JOIN tiers USING (event_id, tier_no)
WHERE items.event_id = $1 AND items.booking_id = $2
ORDER BY items.line;

-- ticket_to_tell --
SELECT tiers.name, coalesce(tickets.seat_id, '') AS seat_id
FROM tickets JOIN tiers USING (event_id, tier_no)
WHERE tickets.event_id = $1 AND tickets.id = $2;

-- entry_to_tell --
SELECT tiers.name, entries.quantity, entries.status::text AS status
FROM waitlist_entries AS entries JOIN tiers USING (event_id, tier_no)
WHERE entries.event_id = $1 AND entries.id = $2;

-- beat --
INSERT INTO notifier_beat (at) VALUES (now())
ON CONFLICT (is_only) DO UPDATE SET at = excluded.at;

-- is_notifier_off --
-- No notifier has worked for a minute; where none ever has, only if something has waited as long.
SELECT CASE WHEN EXISTS (SELECT FROM notifier_beat)
    THEN (SELECT at < now() - interval '60 s' FROM notifier_beat)
    ELSE EXISTS (SELECT FROM outbox
                 WHERE taken_at IS NULL AND written_at < now() - interval '60 s') END;

-- delivery_depths --
-- What is due in each lane, and since when the oldest; in ms. Not of webhooks: what waits for a
-- receiver that is slow is its organizer's affair, who sees it in the log.
SELECT lane.number AS lane, count(due.id) AS depth,
       coalesce(1000 * extract(epoch FROM now() - min(due.due_at)), 0)::bigint AS age_ms
FROM generate_series(1, 3) AS lane (number)
     LEFT JOIN deliveries AS due ON due.lane = lane.number AND due.due_at <= now()
       AND due.channel <> 'webhook'
       AND due.state IN ('waiting', 'sending', 'delayed', 'unknown')
GROUP BY lane.number ORDER BY lane.number;

-- dead_deliveries --
-- Those that wait for an operator; webhooks are sent again by their organizers.
SELECT id, channel, kind, user_id, subject_id, attempts, reason, ended_at FROM deliveries
WHERE state = 'dead' AND channel <> 'webhook' ORDER BY id LIMIT $1;

-- count_dead --
SELECT count(*) FROM deliveries WHERE state = 'dead' AND channel <> 'webhook';

-- retry_dead --
-- It has all its time again.
UPDATE deliveries SET state = 'waiting', due_at = now(), written_at = now(), ended_at = NULL
WHERE state = 'dead' AND channel <> 'webhook' AND ($1::bigint[] IS NULL OR id = ANY ($1))
RETURNING id;

-- discard_dead --
UPDATE deliveries SET state = 'skipped', reason = $2, ended_at = now()
WHERE state = 'dead' AND channel <> 'webhook' AND id = ANY ($1::bigint[])
RETURNING id;

-- sent_to --
-- A letter that was handed in, and the address that it went to as far as it is still known.
SELECT fact, target, coalesce(users.email, target) AS address
FROM deliveries LEFT JOIN users ON users.id = deliveries.target
WHERE deliveries.id = $1 AND channel = 'mail' AND state = 'sent';

-- note_bounce --
UPDATE deliveries SET state = 'dead', reason = $2, ended_at = now()
WHERE id = $1 AND state = 'sent';

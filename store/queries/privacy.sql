-- export_users --
-- Every part of an export has a person, what continues after the last place, and a limit. A hash of
-- a password is nobody's to read.
SELECT id AS place, (to_jsonb(users) - 'password_hash')::text AS row
FROM users WHERE id = $1 AND id > $2 ORDER BY id LIMIT $3;

-- export_sessions --
-- Without what is secret, as all the next: hashes open nothing to who has them, and tell nothing.
SELECT id AS place, (to_jsonb(sessions)
       - '{family_hash,token_hash,salt,last_hash,last_key_hash}'::text[])::text AS row
FROM sessions WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3;

-- export_account_tokens --
SELECT purpose AS place, (to_jsonb(account_tokens) - 'token_hash')::text AS row
FROM account_tokens WHERE user_id = $1 AND purpose > $2 ORDER BY purpose LIMIT $3;

-- export_identities --
SELECT id AS place, to_jsonb(identities)::text AS row
FROM identities WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3;

-- export_passkeys --
-- With the public key: it is the person's, and opens nothing.
SELECT id AS place, to_jsonb(passkeys)::text AS row
FROM passkeys WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3;

-- export_push_subscriptions --
-- The person's devices, without what messages to them are sealed with.
SELECT id AS place, (to_jsonb(push_subscriptions) - '{endpoint,auth,p256dh}'::text[])::text AS row
FROM push_subscriptions WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3;

-- export_gifts --
-- That one offers, has taken, or that wait for an address which one has proved.
SELECT id AS place, to_jsonb(gifts)::text AS row
FROM gifts
WHERE (giver_id = $1 OR taken_by = $1 OR (taken_by IS NULL AND address_key = (
           SELECT account_key FROM users WHERE id = $1 AND email_verified_at IS NOT NULL)))
  AND id > $2
ORDER BY id LIMIT $3;

-- export_team_members --
SELECT organizer_id AS place, to_jsonb(team_members)::text AS row
FROM team_members WHERE user_id = $1 AND organizer_id > $2 ORDER BY organizer_id LIMIT $3;

-- export_team_invitations --
-- To an address which one has proved.
SELECT id AS place, to_jsonb(team_invitations)::text AS row
FROM team_invitations
WHERE account_key = (SELECT account_key FROM users WHERE id = $1 AND email_verified_at IS NOT NULL)
  AND id > $2
ORDER BY id LIMIT $3;

-- export_api_keys --
SELECT id AS place, (to_jsonb(api_keys) - 'hash')::text AS row
FROM api_keys WHERE made_by = $1 AND id > $2 ORDER BY id LIMIT $3;

-- export_devices --
SELECT id AS place, (to_jsonb(devices) - '{hash,code_hash}'::text[])::text AS row
FROM devices WHERE made_by = $1 AND id > $2 ORDER BY id LIMIT $3;

-- export_webhook_endpoints --
SELECT id AS place, (to_jsonb(webhook_endpoints) - '{sealed,sealed_before}'::text[])::text AS row
FROM webhook_endpoints WHERE made_by = $1 AND id > $2 ORDER BY id LIMIT $3;

-- export_familiar_origins --
-- Of an address that is the account's, and not only claimed by it.
SELECT origin AS place, jsonb_build_object('origin', origin, 'seen_at', seen_at)::text AS row
FROM familiar_origins
WHERE account = (SELECT account_word(email) FROM users WHERE id = $1 AND NOT is_claim)
  AND origin > $2
ORDER BY origin LIMIT $3;

-- export_bookings --
SELECT id AS place, to_jsonb(bookings)::text AS row
FROM bookings WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3;

-- export_items --
SELECT items.booking_id || '/' || lpad(items.line::text, 3, '0') AS place,
       to_jsonb(items)::text AS row
FROM bookings JOIN items
    ON items.event_id = bookings.event_id AND items.booking_id = bookings.id
WHERE bookings.user_id = $1 AND bookings.id >= split_part($2, '/', 1)
  AND items.booking_id || '/' || lpad(items.line::text, 3, '0') > $2
ORDER BY place LIMIT $3;

-- export_tickets --
-- Of one's bookings, and those that others gave.
SELECT id AS place, to_jsonb(own)::text AS row
FROM (
    SELECT tickets.* FROM bookings JOIN tickets
        ON tickets.event_id = bookings.event_id AND tickets.booking_id = bookings.id
    WHERE bookings.user_id = $1
    UNION
    SELECT tickets.* FROM tickets WHERE holder_id = $1
) AS own
WHERE id > $2 ORDER BY id LIMIT $3;

-- export_scans --
-- Of the tickets that are one's own.
SELECT scan.ticket_id || '/' || lpad(scan.epoch::text, 19, '0') || '/'
       || lpad(scan.seq::text, 19, '0') AS place,
       to_jsonb(scan)::text AS row
FROM (
    SELECT tickets.event_id, tickets.id FROM bookings JOIN tickets
        ON tickets.event_id = bookings.event_id AND tickets.booking_id = bookings.id
    WHERE bookings.user_id = $1 AND (tickets.holder_id IS NULL OR tickets.holder_id = $1)
    UNION
    SELECT event_id, id FROM tickets WHERE holder_id = $1
) AS own JOIN scans AS scan ON scan.event_id = own.event_id AND scan.ticket_id = own.id
WHERE scan.ticket_id || '/' || lpad(scan.epoch::text, 19, '0') || '/'
      || lpad(scan.seq::text, 19, '0') > $2
ORDER BY place LIMIT $3;

-- export_waitlist_entries --
SELECT id AS place, to_jsonb(waitlist_entries)::text AS row
FROM waitlist_entries WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3;

-- export_order_notes --
-- On one's orders, and what one has written on those of others.
SELECT id AS place, to_jsonb(order_notes)::text AS row
FROM order_notes WHERE (user_id = $1 OR written_by = $1) AND id > $2 ORDER BY id LIMIT $3;

-- export_outbox --
-- Also what others have sent to an address which one has proved; without what opens something.
SELECT lpad(id::text, 19, '0') AS place, (to_jsonb(outbox) #- '{payload,token}')::text AS row
FROM outbox
WHERE (user_id = $1 OR (payload ? 'to' AND lower(payload ->> 'to') = (
           SELECT lower(email) FROM users WHERE id = $1 AND email_verified_at IS NOT NULL)))
  AND lpad(id::text, 19, '0') > $2
ORDER BY place LIMIT $3;

-- export_deliveries --
-- Also what others have sent to an address which one has proved.
SELECT lpad(id::text, 19, '0') AS place, to_jsonb(deliveries)::text AS row
FROM deliveries
WHERE (user_id = $1 OR (strpos(target, '@') > 0 AND lower(target) = (
           SELECT lower(email) FROM users WHERE id = $1 AND email_verified_at IS NOT NULL)))
  AND lpad(id::text, 19, '0') > $2
ORDER BY place LIMIT $3;

-- export_suppressions --
SELECT address_key AS place, to_jsonb(suppressions)::text AS row
FROM suppressions
WHERE address_key = (SELECT account_key(email) FROM users WHERE id = $1) AND address_key > $2
ORDER BY address_key LIMIT $3;

-- export_acts --
-- What one did, and what was done to one's account.
SELECT lpad(id::text, 19, '0') AS place, to_jsonb(acts)::text AS row
FROM acts WHERE (actor = $1 OR subject = $1) AND lpad(id::text, 19, '0') > $2
ORDER BY place LIMIT $3;

-- export_erasures --
SELECT user_id AS place, to_jsonb(erasures)::text AS row
FROM erasures WHERE user_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3;

-- export_redo --
SELECT concat_ws('/', shard, lpad(epoch::text, 19, '0'), lpad(seq::text, 19, '0'), worker) AS place,
       to_jsonb(redo)::text AS row
FROM redo
WHERE strpos(record, $1) > 0
  AND concat_ws('/', shard, lpad(epoch::text, 19, '0'), lpad(seq::text, 19, '0'), worker) > $2
ORDER BY place LIMIT $3;

-- export_conflicts --
SELECT lpad(id::text, 19, '0') AS place, to_jsonb(conflicts)::text AS row
FROM conflicts WHERE strpos(record, $1) > 0 AND lpad(id::text, 19, '0') > $2
ORDER BY place LIMIT $3;

-- export_quarantine --
-- Bytes that may be no text: shown as PostgreSQL escapes them.
SELECT concat_ws('/', shard, lpad(epoch::text, 19, '0'), lpad(seq::text, 19, '0')) AS place,
       (to_jsonb(quarantine) || jsonb_build_object('record', encode(record, 'escape')))::text AS row
FROM quarantine
WHERE position(convert_to($1, 'UTF8') IN record) > 0
  AND concat_ws('/', shard, lpad(epoch::text, 19, '0'), lpad(seq::text, 19, '0')) > $2
ORDER BY place LIMIT $3;

-- export_journal --
-- Some batches of the archive from a place on, each with the lines that name a person; a batch that
-- names nobody comes back without.
SELECT batch.shard, batch.epoch, batch.first_seq, batch.first_at,
       CASE WHEN strpos(batch.records, $1) > 0 THEN (
           SELECT array_agg(line ORDER BY number)
           FROM unnest(string_to_array(batch.records, E'\n')) WITH ORDINALITY AS one (line, number)
           WHERE strpos(line, $1) > 0) END AS lines
FROM (
    SELECT shard, epoch, first_seq, first_at, records FROM journal
    WHERE first_at >= $2
      AND (shard, epoch, first_seq, first_at) > ($3::smallint, $4::bigint, $5::bigint, $6)
    ORDER BY shard, epoch, first_seq, first_at LIMIT $7) AS batch
ORDER BY batch.shard, batch.epoch, batch.first_seq, batch.first_at;

-- open_bookings --
-- A person's bookings of events that are not over, from a place on.
SELECT bookings.id
FROM bookings JOIN events ON events.id = bookings.event_id
WHERE bookings.user_id = $1 AND bookings.status = 'confirmed' AND bookings.id > $2
  AND (CASE WHEN events.ends_at > events.starts_at THEN events.ends_at
            ELSE events.starts_at + interval '1 day' END) > now()
ORDER BY bookings.id LIMIT $3;

-- open_tickets --
-- Tickets that others gave to a person, of events that are not over; nobody came in on them yet.
SELECT tickets.id
FROM tickets
JOIN bookings ON bookings.event_id = tickets.event_id AND bookings.id = tickets.booking_id
JOIN events ON events.id = tickets.event_id
WHERE tickets.holder_id = $1 AND bookings.user_id <> $1 AND bookings.status = 'confirmed'
  AND tickets.status <> 'checked_in' AND tickets.id > $2
  AND (CASE WHEN events.ends_at > events.starts_at THEN events.ends_at
            ELSE events.starts_at + interval '1 day' END) > now()
ORDER BY tickets.id LIMIT $3;

-- open_waits --
SELECT id FROM waitlist_entries
WHERE user_id = $1 AND status IN ('waiting', 'offered') AND id > $2 ORDER BY id LIMIT $3;

-- address_to_erase --
-- Nobody else changes the account until the transaction ends.
SELECT email, is_claim FROM users WHERE id = $1 AND erased_at IS NULL FOR UPDATE;

-- erase_user --
-- The address is free again, no password is right any more, and no token that says this version;
-- role and teams are taken by triggers.
UPDATE users
SET email = id || '@erased.invalid', name = 'Erased', password_hash = '!', language = NULL,
    timezone = NULL,
    is_claim = false, email_verified_at = NULL, token_version = token_version + 1, erased_at = now()
WHERE id = $1 AND erased_at IS NULL
RETURNING id;

-- erase_order_notes --
-- What was written of one's orders; that money was given back stays.
UPDATE order_notes SET text = '' WHERE user_id = $1 AND text <> '';

-- erase_sessions --
DELETE FROM sessions WHERE user_id = $1;

-- erase_identities --
DELETE FROM identities WHERE user_id = $1;

-- erase_passkeys --
DELETE FROM passkeys WHERE user_id = $1;

-- export_muted_messages --
SELECT topic || ' ' || channel AS place, to_jsonb(muted_messages)::text AS row
FROM muted_messages WHERE user_id = $1 AND topic || ' ' || channel > $2
ORDER BY place LIMIT $3;

-- erase_muted_messages --
DELETE FROM muted_messages WHERE user_id = $1;

-- export_sale_reminders --
SELECT event_id AS place, to_jsonb(sale_reminders)::text AS row
FROM sale_reminders WHERE user_id = $1 AND event_id > $2 ORDER BY event_id LIMIT $3;

-- erase_sale_reminders --
DELETE FROM sale_reminders WHERE user_id = $1;

-- erase_push_subscriptions --
DELETE FROM push_subscriptions WHERE user_id = $1;

-- erase_gifts --
-- Taken ones, and those that wait for an address which the person has proved. What they offer
-- others is the others' to take.
DELETE FROM gifts
WHERE taken_by = $1 OR (taken_by IS NULL AND address_key = (
    SELECT account_key FROM users WHERE id = $1 AND email_verified_at IS NOT NULL));

-- erase_outbox --
-- What the account is told, and what others have sent to an address which the person has proved.
UPDATE outbox SET payload = '{}', secret_until = NULL
WHERE (user_id = $1 AND shard IS NULL AND starts_with(kind, 'account.'))
   OR (payload ? 'to' AND lower(payload ->> 'to') = (
       SELECT lower(email) FROM users WHERE id = $1 AND email_verified_at IS NOT NULL));

-- erase_deliveries --
-- Where messages to the person went, and to an address which they have proved. Nobody is told any
-- more; which of them is under way ends as it ends.
UPDATE deliveries SET target = '',
       state = CASE WHEN state IN ('waiting', 'delayed', 'unknown') THEN 'skipped' ELSE state END,
       ended_at = coalesce(ended_at, now())
WHERE (user_id = $1 AND (target = $1 OR starts_with(kind, 'account.')))
   OR (strpos(target, '@') > 0 AND lower(target) = (
       SELECT lower(email) FROM users WHERE id = $1 AND email_verified_at IS NOT NULL));

-- erase_suppressions --
DELETE FROM suppressions
WHERE address_key = (SELECT account_key FROM users
                     WHERE id = $1 AND email_verified_at IS NOT NULL);

-- erase_api_keys --
-- An integration that somebody made ends with them; no key has this hash.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()), hash = decode(repeat('00', 32), 'hex')
WHERE made_by = $1;

-- insert_erasure --
INSERT INTO erasures (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING;

-- open_erasures --
SELECT user_id, asked_at FROM erasures WHERE done_at IS NULL ORDER BY asked_at;

-- end_erasures --
-- Of persons whose words are gone from all texts that they could stand in, and will not come back
-- from a record that still waits for a human.
UPDATE erasures SET done_at = now()
WHERE done_at IS NULL AND asked_at < $1 AND user_id = ANY ($2::text[])
  AND NOT EXISTS (
      SELECT FROM quarantine
      WHERE state = 'held' AND position(convert_to(user_id, 'UTF8') IN record) > 0)
RETURNING user_id;

-- batches_with_details --
-- Batches of the archive that are older than a moment and in which somebody wrote something; the
-- condition is that of the index `journal_details`, word for word.
SELECT shard, epoch, first_seq, first_at FROM journal
WHERE strpos(records, '"detail":{"') > 0 AND first_at < $1
  AND (shard, epoch, first_seq, first_at) > ($2::smallint, $3::bigint, $4::bigint, $5)
ORDER BY shard, epoch, first_seq, first_at LIMIT $6;

-- lock_batch_at --
SELECT records FROM journal
WHERE shard = $1 AND epoch = $2 AND first_seq = $3 AND first_at = $4 FOR UPDATE;

-- blank_batch --
-- Nothing but what people wrote, and the checks of the records that had it, are other than before.
UPDATE journal SET records = $5
WHERE shard = $1 AND epoch = $2 AND first_seq = $3 AND first_at = $4;

-- blank_bookings --
UPDATE bookings SET special_requests = NULL, metadata = NULL
WHERE (event_id, id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
  AND (special_requests IS NOT NULL OR metadata IS NOT NULL);

-- redo_with_details --
SELECT shard, epoch, seq, worker, record FROM redo
WHERE strpos(record, '"detail":{"') > 0 AND written_at < $1
ORDER BY shard, epoch, seq, worker LIMIT $2;

-- blank_redo --
UPDATE redo SET record = $5 WHERE shard = $1 AND epoch = $2 AND seq = $3 AND worker = $4;

-- conflicts_with_details --
SELECT id, record FROM conflicts
WHERE strpos(record, '"detail":{"') > 0 AND found_at < $1 AND id > $2 ORDER BY id LIMIT $3;

-- blank_conflict --
UPDATE conflicts SET record = $2 WHERE id = $1;

-- quarantined_of --
-- Records that no longer wait, and name an erased person; or all that are older than a moment.
SELECT shard, epoch, seq FROM quarantine
WHERE state <> 'held' AND octet_length(record) > 0
  AND (changed_at < $1 OR EXISTS (
      SELECT FROM erasures WHERE position(convert_to(user_id, 'UTF8') IN record) > 0))
ORDER BY shard, epoch, seq LIMIT $2;

-- blank_quarantine --
-- Its reason may quote it.
UPDATE quarantine SET record = '', reason = ''
WHERE state <> 'held' AND (shard, epoch, seq) IN (
    SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]));

-- events_over --
-- Events that were over before a moment.
SELECT id FROM events
WHERE (CASE WHEN ends_at > starts_at THEN ends_at ELSE starts_at + interval '1 day' END) < $1;

-- count_outbox --
SELECT count(*) FROM outbox WHERE coalesce(sent_at, written_at) < $1;

-- prune_outbox --
-- What nobody has sent goes as well: an address is not kept for want of somebody who sends.
DELETE FROM outbox WHERE id IN (
    SELECT id FROM outbox WHERE coalesce(sent_at, written_at) < $1 ORDER BY id LIMIT $2);

-- blank_order_notes --
-- Of events that were over before a moment ($1).
UPDATE order_notes SET text = '' WHERE id IN (
    SELECT note.id FROM order_notes AS note JOIN events ON events.id = note.event_id
    WHERE note.text <> '' AND (CASE WHEN ends_at > starts_at THEN ends_at
                               ELSE starts_at + interval '1 day' END) < $1
    ORDER BY note.id LIMIT $2);

-- count_order_notes --
SELECT count(*) FROM order_notes AS note JOIN events ON events.id = note.event_id
WHERE note.text <> '' AND (CASE WHEN ends_at > starts_at THEN ends_at
                           ELSE starts_at + interval '1 day' END) < $1;

-- count_deliveries --
SELECT count(*) FROM deliveries WHERE ended_at < $1;

-- prune_deliveries --
-- Dead ones as well: a human has had the time to look.
DELETE FROM deliveries WHERE id IN (
    SELECT id FROM deliveries WHERE ended_at < $1 ORDER BY ended_at LIMIT $2);

-- count_reminders --
SELECT (SELECT count(*) FROM sale_reminders JOIN events ON events.id = event_id
        WHERE sale_opens_at < $1)
     + (SELECT count(*) FROM reminder_plans WHERE planned_for < $1);

-- prune_sale_reminders --
-- Of sales that have opened.
DELETE FROM sale_reminders WHERE (event_id, user_id) IN (
    SELECT event_id, user_id FROM sale_reminders JOIN events ON events.id = event_id
    WHERE sale_opens_at < $1 LIMIT $2);

-- prune_reminder_plans --
DELETE FROM reminder_plans WHERE (event_id, kind, planned_for) IN (
    SELECT event_id, kind, planned_for FROM reminder_plans WHERE planned_for < $1 LIMIT $2);

-- count_invitations --
SELECT count(*) FROM team_invitations WHERE expires_at < $1;

-- prune_invitations --
-- Of organizers who never invite again: the next invitation takes those of its own that have ended.
DELETE FROM team_invitations WHERE id IN (
    SELECT id FROM team_invitations WHERE expires_at < $1 ORDER BY id LIMIT $2);

-- last_day_of_acts --
-- The last day of acts that is sealed and older than a moment; only whole days go.
SELECT max(day) FROM act_days
WHERE day < ($1::timestamptz AT TIME ZONE 'UTC')::date
  AND day >= (SELECT min(day) FROM acts);

-- count_acts_until --
SELECT count(*) FROM acts WHERE day <= $1;

-- prune_acts --
DELETE FROM acts WHERE id IN (SELECT id FROM acts WHERE day <= $1 ORDER BY id LIMIT $2);

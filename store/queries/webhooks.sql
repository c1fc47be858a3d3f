-- insert_webhook --
INSERT INTO webhook_endpoints (id, organizer_id, url, kinds, sealed, made_by)
SELECT $1, organizers.id, $3, $4::text[], $5, $6 FROM organizers WHERE organizers.id = $2
RETURNING id, organizer_id, url, kinds, made_by, created_at, disabled_at, disabled_why,
          failing_since, before_until;

-- count_webhooks --
SELECT count(*) FROM webhook_endpoints WHERE organizer_id = $1;

-- webhooks_of --
-- There is a bound to them, and no pages.
SELECT id, organizer_id, url, kinds, made_by, created_at, disabled_at, disabled_why,
       failing_since, before_until
FROM webhook_endpoints WHERE organizer_id = $1 ORDER BY created_at, id;

-- webhook_by_id --
-- Kept from others until the transaction's end.
SELECT id, organizer_id, url, kinds, made_by, created_at, disabled_at, disabled_why,
       failing_since, before_until
FROM webhook_endpoints WHERE organizer_id = $1 AND id = $2 FOR UPDATE;

-- change_webhook --
-- What is null stays; one that is enabled again, or is elsewhere now, begins anew.
UPDATE webhook_endpoints SET
    url = coalesce($3, url), kinds = coalesce($4::text[], kinds),
    disabled_at = CASE WHEN $5 THEN NULL WHEN NOT $5 THEN coalesce(disabled_at, now())
                       ELSE disabled_at END,
    disabled_why = CASE WHEN $5 THEN '' WHEN NOT $5 AND disabled_at IS NULL THEN 'asked'
                        ELSE disabled_why END,
    failing_since = CASE WHEN ($5 AND disabled_at IS NOT NULL) OR $3 <> url THEN NULL
                         ELSE failing_since END,
    warned = CASE WHEN ($5 AND disabled_at IS NOT NULL) OR $3 <> url THEN 0 ELSE warned END
WHERE organizer_id = $1 AND id = $2
RETURNING id, organizer_id, url, kinds, made_by, created_at, disabled_at, disabled_why,
          failing_since, before_until;

-- rotate_webhook --
-- Both sign for a while.
UPDATE webhook_endpoints SET
    sealed_before = sealed, before_until = now() + $4 * interval '1 s', sealed = $3
WHERE organizer_id = $1 AND id = $2
RETURNING id, organizer_id, url, kinds, made_by, created_at, disabled_at, disabled_why,
          failing_since, before_until;

-- delete_webhook --
DELETE FROM webhook_endpoints WHERE organizer_id = $1 AND id = $2 RETURNING id;

-- ping_webhook --
SELECT ping_webhook($1);

-- redeliver_webhook --
SELECT redeliver_webhook($1, $2);

-- redeliver_webhooks --
SELECT redeliver_webhooks($1, $2, $3, $4, $5);

-- webhook_log --
-- One page of what an endpoint was told, newest first, continuing before a number.
SELECT id AS number, webhook_message_id(fact, target) AS id, kind, event_id, subject_id,
       state::text AS state, attempts, reason, made_at, ended_at,
       CASE WHEN ended_at IS NULL AND state <> 'sending' THEN due_at END AS next_attempt_at
FROM deliveries
WHERE channel = 'webhook' AND target = $1 AND deliveries.id < $2
ORDER BY deliveries.id DESC LIMIT $3;

-- webhooks_wanting --
-- Endpoints that are told of some events, and the kinds that each wants.
SELECT events.id AS event_id, webhook_endpoints.id AS endpoint_id, kinds
FROM webhook_endpoints JOIN events USING (organizer_id)
WHERE disabled_at IS NULL AND events.id = ANY ($1::text[]);

-- webhook_to_send --
-- Where a delivery goes now, and what names and orders it.
SELECT endpoints.id, endpoints.organizer_id, endpoints.url, endpoints.sealed,
       CASE WHEN before_until > now() THEN sealed_before END AS sealed_before,
       endpoints.disabled_at IS NOT NULL AS is_off,
       webhook_message_id(fact, target) AS message_id, made_at, shard, epoch, seq
FROM deliveries JOIN webhook_endpoints AS endpoints ON endpoints.id = deliveries.target
WHERE deliveries.id = $1;

-- webhook_arrived --
UPDATE webhook_endpoints SET failing_since = NULL, warned = 0
WHERE id = $1 AND failing_since IS NOT NULL;

-- webhook_failed --
UPDATE webhook_endpoints SET failing_since = now() WHERE id = $1 AND failing_since IS NULL;

-- webhook_gone --
UPDATE webhook_endpoints SET disabled_at = now(), disabled_why = 'gone'
WHERE id = $1 AND disabled_at IS NULL
RETURNING id, organizer_id, url, failing_since;

-- webhooks_failing --
-- Endpoints at which nothing has arrived for so long that their owners are to be told, once for
-- each step of $1 (in seconds), and off after the last.
UPDATE webhook_endpoints SET
    warned = due.step,
    disabled_at = CASE WHEN due.step = cardinality($1::int[]) THEN now() END,
    disabled_why = CASE WHEN due.step = cardinality($1::int[]) THEN 'failing' ELSE '' END
FROM (SELECT id, (SELECT count(*) FROM unnest($1::int[]) AS wait (after_s)
                  WHERE failing_since < now() - after_s * interval '1 s') AS step
      FROM webhook_endpoints
      WHERE failing_since IS NOT NULL AND disabled_at IS NULL
      FOR UPDATE SKIP LOCKED) AS due
WHERE webhook_endpoints.id = due.id AND due.step > warned
RETURNING webhook_endpoints.id, organizer_id, url, failing_since,
          disabled_at IS NOT NULL AS is_off;

-- owners_to_tell --
SELECT team_members.user_id, organizers.name AS organizer
FROM team_members JOIN organizers ON organizers.id = team_members.organizer_id
WHERE organizer_id = $1 AND role = 'owner' ORDER BY added_at, user_id LIMIT 20;

-- booking_of_webhook --
SELECT bookings.status::text AS status, bookings.version, bookings.total_minor, events.currency,
       coalesce((SELECT sum(quantity) FROM items
                 WHERE items.event_id = bookings.event_id AND items.booking_id = bookings.id),
                0)::int AS places
FROM bookings JOIN events ON events.id = bookings.event_id
WHERE bookings.event_id = $1 AND bookings.id = $2;

-- ticket_of_webhook --
SELECT tickets.booking_id, tiers.id AS tier_id, tickets.status, tickets.version
FROM tickets JOIN tiers USING (event_id, tier_no)
WHERE tickets.event_id = $1 AND tickets.id = $2;

-- entry_of_webhook --
SELECT tiers.id AS tier_id, entries.quantity, entries.status::text AS status, entries.version
FROM waitlist_entries AS entries JOIN tiers USING (event_id, tier_no)
WHERE entries.event_id = $1 AND entries.id = $2;

-- event_of_webhook --
SELECT status::text AS status, version FROM events WHERE id = $1;

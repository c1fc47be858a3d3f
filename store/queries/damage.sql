-- events_to_look_at --
-- The next events of a shard that were ever on sale.
SELECT id FROM events WHERE shard = $1 AND status <> 'draft' AND id > $2 ORDER BY id LIMIT $3;

-- note_damaged --
-- An event has lost keys; noted once, until it is rebuilt.
INSERT INTO damaged_events (shard, event_id, lost) VALUES ($1, $2, $3)
ON CONFLICT (event_id) WHERE rebuilt_at IS NULL DO NOTHING RETURNING id;

-- without_rows --
SELECT event_id FROM damaged_events WHERE shard = $1 AND lost = $2 AND rebuilt_at IS NULL
ORDER BY event_id;

-- note_whole --
UPDATE damaged_events SET rebuilt_at = now()
WHERE event_id = ANY ($1::text[]) AND rebuilt_at IS NULL;

-- damaged_events --
-- What is damaged now, and what was lately.
SELECT shard, event_id, lost, noticed_at, rebuilt_at FROM damaged_events
WHERE rebuilt_at IS NULL OR rebuilt_at > now() - $1::interval ORDER BY noticed_at DESC LIMIT 100;

-- count_damaged --
SELECT count(*) FROM damaged_events WHERE shard = $1 AND rebuilt_at IS NULL;

-- kept_of_event --
-- How much of an event Redis must have, of what it has no counter of its own for.
SELECT (SELECT count(*) FROM bookings WHERE event_id = $1) AS bookings,
       (SELECT count(*) FROM waitlist_entries WHERE event_id = $1) AS entries,
       (SELECT count(*) FROM tickets WHERE event_id = $1 AND seq IS NOT NULL) AS tickets,
       (SELECT count(*) FROM promos WHERE event_id = $1) AS promos;

-- take_mending --
-- One process at a time rebuilds events of a shard, for as long as its connection lasts.
SELECT pg_try_advisory_lock(hashtext('evently.mending'), $1::integer);

-- leave_mending --
SELECT pg_advisory_unlock(hashtext('evently.mending'), $1::integer);

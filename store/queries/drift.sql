-- note_drift --
-- What is wrong with a shard now; what was known stays as it was.
INSERT INTO drift (shard, identity, invariant, code, event_id, booking_id, message)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
ON CONFLICT (shard, identity) DO UPDATE
SET seen_at = CASE WHEN drift.gone_at IS NULL THEN drift.seen_at ELSE now() END, gone_at = NULL
WHERE drift.gone_at IS NOT NULL;

-- end_drift --
-- What is no more; and what was over long ago is forgotten.
WITH forgotten AS (DELETE FROM drift WHERE shard = $1 AND gone_at < now() - $3::interval)
UPDATE drift SET gone_at = now()
WHERE shard = $1 AND gone_at IS NULL AND NOT identity = ANY ($2::text[]);

-- note_watch --
INSERT INTO watches (shard, passed_at, proved_epoch, proved_seq, proved_at)
VALUES ($1, CASE WHEN $2::float8 IS NOT NULL THEN now() END, $3, $4,
        now() - make_interval(secs => $2::float8))
ON CONFLICT (shard) DO UPDATE
SET looked_at = now(),
    passed_at = coalesce(excluded.passed_at, watches.passed_at),
    proved_epoch = coalesce(excluded.proved_epoch, watches.proved_epoch),
    proved_seq = coalesce(excluded.proved_seq, watches.proved_seq),
    proved_at = coalesce(excluded.proved_at, watches.proved_at);

-- proof_of_event --
-- When the shard of an event was looked at, up to where all of it is proved, and what is wrong now.
SELECT extract(epoch FROM now() - looked_at)::float8 AS looked_s,
       extract(epoch FROM now() - proved_at)::float8 AS proved_s,
       proved_epoch, proved_seq,
       (SELECT count(*) FROM drift
        WHERE shard = $1 AND gone_at IS NULL AND event_id = $2) AS of_event,
       (SELECT count(*) FROM drift
        WHERE shard = $1 AND gone_at IS NULL AND event_id IS NULL) AS of_shard
FROM watches WHERE shard = $1;

-- drift --
-- What is wrong now, and what was lately, the latest first.
SELECT shard, invariant, code, event_id, booking_id, message, seen_at, gone_at FROM drift
WHERE gone_at IS NULL OR gone_at > now() - $1::interval
ORDER BY gone_at DESC NULLS FIRST, seen_at DESC LIMIT 20;

-- count_drift --
SELECT count(*) FROM drift WHERE gone_at IS NULL;

-- watches --
SELECT shard, extract(epoch FROM now() - looked_at)::float8 AS looked_s,
       extract(epoch FROM now() - passed_at)::float8 AS passed_s
FROM watches;

-- gone_users --
-- Bookings, waitlist entries and tickets of accounts that are gone.
SELECT gone_users.id AS user_id, had.event_id, had.booking_id
FROM gone_users CROSS JOIN LATERAL (
    SELECT event_id, id AS booking_id FROM bookings
    WHERE user_id = gone_users.id AND shard = $1
    UNION ALL
    SELECT event_id, NULL FROM waitlist_entries
    WHERE user_id = gone_users.id AND shard = $1
    UNION ALL
    SELECT tickets.event_id, tickets.booking_id FROM tickets
    JOIN events ON events.id = tickets.event_id
    WHERE tickets.holder_id = gone_users.id AND events.shard = $1
) AS had
WHERE NOT EXISTS (SELECT FROM users WHERE users.id = gone_users.id)
ORDER BY user_id, event_id, booking_id LIMIT $2;

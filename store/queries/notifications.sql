-- notifications_of --
-- Messages in an account, newest first.
SELECT deliveries.id, deliveries.kind, deliveries.event_id, deliveries.subject_id, written_at,
       until, seen_at, coalesce(events.name, '') AS event_name
FROM deliveries LEFT JOIN events ON events.id = deliveries.event_id
WHERE deliveries.user_id = $1 AND deliveries.target = $1 AND channel = 'account'
  AND deliveries.id < $2
ORDER BY deliveries.id DESC LIMIT $3;

-- count_unseen --
SELECT count(*) FROM deliveries WHERE user_id = $1 AND channel = 'account' AND seen_at IS NULL;

-- count_unseen_of_each --
SELECT user_id, count(*) AS unread FROM deliveries
WHERE user_id = ANY ($1::text[]) AND channel = 'account' AND seen_at IS NULL
GROUP BY user_id;

-- see_notification --
UPDATE deliveries SET seen_at = coalesce(seen_at, now())
WHERE id = $2 AND user_id = $1 AND channel = 'account'
RETURNING id;

-- see_notifications --
UPDATE deliveries SET seen_at = now()
WHERE user_id = $1 AND channel = 'account' AND seen_at IS NULL AND id <= $2;

-- new_in_accounts --
-- Whose accounts have messages behind $1, in the order in which they were made.
SELECT id, user_id FROM deliveries WHERE channel = 'account' AND id > $1 ORDER BY id LIMIT $2;

-- last_in_accounts --
SELECT coalesce(max(id), 0) FROM deliveries WHERE channel = 'account';

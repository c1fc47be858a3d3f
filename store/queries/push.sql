-- put_push_keys --
-- These and no others; the first is for new subscriptions.
INSERT INTO push_keys (id, public_key, is_first)
SELECT id, public_key, number = 1
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS new (id, public_key, number)
ON CONFLICT (id) DO UPDATE SET is_first = excluded.is_first;

-- drop_push_keys --
-- All but these; and none of these is the first until it is put.
WITH changed AS (UPDATE push_keys SET is_first = false WHERE id = ANY ($1::text[]))
DELETE FROM push_keys WHERE id <> ALL ($1::text[]);

-- push_key --
SELECT id, public_key FROM push_keys WHERE is_first;

-- is_push_key --
SELECT EXISTS (SELECT FROM push_keys WHERE id = $1);

-- skip_pushes --
-- Where push is off, nothing waits for it.
UPDATE deliveries SET state = 'skipped', reason = 'push is off', ended_at = now()
WHERE channel = 'push' AND state IN ('waiting', 'sending', 'delayed', 'unknown');

-- put_push_subscription --
-- A browser has one account: who subscribes last. No row comes back if the account has as many
-- browsers as it may ($9), or is closed.
INSERT INTO push_subscriptions AS own
    (id, user_id, endpoint, host, p256dh, auth, key_id, name)
SELECT $1::text, users.id, $3::text, $4::text, $5::text, $6::text, $7::text, $8::text
FROM users
WHERE users.id = $2::text AND disabled_at IS NULL AND erased_at IS NULL AND (
    SELECT count(*) FROM push_subscriptions AS other
    WHERE other.user_id = $2::text AND other.endpoint <> $3::text) < $9::int
FOR NO KEY UPDATE
ON CONFLICT (endpoint) DO UPDATE SET
    user_id = excluded.user_id, p256dh = excluded.p256dh, auth = excluded.auth,
    key_id = excluded.key_id, name = excluded.name, failures = 0,
    since = CASE WHEN own.user_id = excluded.user_id THEN own.since ELSE now() END,
    last_delivered_at = CASE WHEN own.user_id = excluded.user_id THEN own.last_delivered_at END
RETURNING id, user_id, endpoint, host, p256dh, auth, key_id, name, since, last_delivered_at,
          failures;

-- push_subscriptions_of_user --
SELECT id, user_id, endpoint, host, p256dh, auth, key_id, name, since, last_delivered_at, failures
FROM push_subscriptions WHERE user_id = $1 ORDER BY id;

-- push_subscription --
SELECT id, user_id, endpoint, host, p256dh, auth, key_id, name, since, last_delivered_at, failures
FROM push_subscriptions WHERE id = $1;

-- delete_push_subscription --
DELETE FROM push_subscriptions WHERE user_id = $1 AND id = $2 RETURNING id;

-- push_targets --
-- The browsers of some accounts, and by which service each is reached.
SELECT user_id, id, host FROM push_subscriptions WHERE user_id = ANY ($1::text[])
ORDER BY user_id, id;

-- note_pushed --
UPDATE push_subscriptions SET last_delivered_at = now(), failures = 0 WHERE id = $1;

-- note_push_failed --
UPDATE push_subscriptions SET failures = least(failures + 1, 1000000) WHERE id = $1;

-- drop_push_subscription --
-- Its service knows it no more; unless the browser has made another one meanwhile.
DELETE FROM push_subscriptions WHERE id = $1 AND endpoint = $2;

-- insert_api_key --
-- Of an account that may act for the organizer now, whatever its token says; no row of another.
INSERT INTO api_keys (id, organizer_id, made_by, name, scopes, prefix, hash, expires_at)
SELECT $1, organizers.id, $3, $4, $5::text[], $6, $7, $8::timestamptz
FROM organizers
WHERE organizers.id = $2 AND works_for($3, $2, '{owner,manager}')
RETURNING id, organizer_id, made_by, name, scopes, prefix, created_at, expires_at, last_used_at,
          revoked_at;

-- api_keys_of --
-- One page of an organizer's keys, newest first, continuing after (created_at, id).
SELECT id, organizer_id, made_by, name, scopes, prefix, created_at, expires_at, last_used_at,
       revoked_at
FROM api_keys
WHERE organizer_id = $1 AND (created_at, id) < ($2, $3)
ORDER BY created_at DESC, id DESC LIMIT $4;

-- count_api_keys --
-- Of those that are not revoked.
SELECT count(*) FROM api_keys WHERE organizer_id = $1 AND revoked_at IS NULL;

-- revoke_api_key --
-- Again changes nothing.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1
RETURNING prefix;

-- organizer_of_api_key --
SELECT organizer_id FROM api_keys WHERE id = $1;

-- api_key_by_prefix --
-- A key, and what it may do now: never more than its maker.
SELECT id, organizer_id, scopes, hash,
       revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
           AND works_for(made_by, organizer_id, '{owner,manager}') AS is_good,
       coalesce(last_used_at < now() - interval '1 minute', true) AS is_due
FROM api_keys WHERE prefix = $1;

-- touch_api_key --
UPDATE api_keys SET last_used_at = now()
WHERE id = $1 AND coalesce(last_used_at < now() - interval '1 minute', true);

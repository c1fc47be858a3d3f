-- open_session --
-- A session more; at the bound, at the cost of the one that is unused for longest. No row comes
-- back if the account is not there, or is kept out.
WITH person AS (
    SELECT id, role::text AS role, organizer_id, token_version FROM users
    WHERE id = $2 AND disabled_at IS NULL AND erased_at IS NULL
    FOR UPDATE
), crowded AS (
    DELETE FROM sessions
    WHERE id IN (
        SELECT id FROM sessions WHERE user_id = $2 ORDER BY used_at DESC, id DESC OFFSET $9
    )
)
INSERT INTO sessions (
    id, user_id, method, device, family_hash, token_hash, salt, expires_at
)
SELECT $1, person.id, $3, $4, $5, $6, $7, now() + make_interval(secs => $8::integer)
FROM person
RETURNING id, user_id, expires_at,
    (SELECT role FROM person) AS role,
    (SELECT organizer_id FROM person) AS organizer_id,
    (SELECT token_version FROM person) AS token_version, method, opened_at;

-- is_new_device --
-- Whether the account has sessions, and none of a device of this name.
SELECT count(*) > 0 AND NOT coalesce(bool_or(device = $2), false)
FROM sessions WHERE user_id = $1;

-- exchange_token --
-- The good token of a family for the next one. No row comes back for any other.
UPDATE sessions
SET token_hash = $3, salt = $4, last_hash = sessions.token_hash, last_key_hash = $5,
    used_at = now(),
    expires_at = least(
        now() + make_interval(secs => $6::integer),
        opened_at + make_interval(secs => $7::integer)
    )
FROM users
WHERE family_hash = $1 AND token_hash = $2 AND expires_at > now() AND users.id = sessions.user_id
  AND users.disabled_at IS NULL
RETURNING sessions.id, sessions.user_id, sessions.expires_at, users.role::text AS role,
    users.organizer_id, users.token_version, method, opened_at;

-- put_in_cookie --
-- A session whose refresh token is shown, from now on a cookie's.
UPDATE sessions
SET family_hash = $3, token_hash = $4, salt = '', last_hash = NULL, last_key_hash = NULL
FROM users
WHERE family_hash = $1 AND token_hash = $2 AND expires_at > now() AND users.id = sessions.user_id
  AND users.disabled_at IS NULL
RETURNING sessions.id, sessions.user_id, sessions.expires_at, users.role::text AS role,
    users.organizer_id, users.token_version, method, opened_at;

-- use_cookie --
UPDATE sessions
SET used_at = now(),
    expires_at = least(
        now() + make_interval(secs => $3::integer),
        opened_at + make_interval(secs => $4::integer)
    )
FROM users
WHERE family_hash = $1 AND token_hash = $2 AND expires_at > now() AND users.id = sessions.user_id
  AND users.disabled_at IS NULL
RETURNING sessions.id, sessions.user_id, sessions.expires_at, users.role::text AS role,
    users.organizer_id, users.token_version, method, opened_at;

-- session_of_family --
-- A session, whichever of its tokens is shown; with what made the good one of the one before.
SELECT sessions.id, sessions.user_id, sessions.expires_at, users.role::text AS role,
    users.organizer_id, users.token_version, method, opened_at, salt, last_hash, last_key_hash
FROM sessions JOIN users ON users.id = sessions.user_id
WHERE family_hash = $1 AND expires_at > now() AND users.disabled_at IS NULL;

-- end_session_of_family --
DELETE FROM sessions WHERE family_hash = $1 AND expires_at > now()
RETURNING id, user_id;

-- sessions_of --
SELECT id, method, device, opened_at, used_at, expires_at
FROM sessions WHERE user_id = $1 AND expires_at > now()
ORDER BY used_at DESC, id DESC;

-- end_session_of --
DELETE FROM sessions WHERE user_id = $1 AND id = $2
RETURNING id;

-- end_sessions_of --
-- All of an account's, or all but one.
DELETE FROM sessions WHERE user_id = $1 AND ($2::text IS NULL OR id <> $2)
RETURNING id;

-- tidy_sessions --
DELETE FROM sessions
WHERE id IN (SELECT id FROM sessions WHERE expires_at < now() ORDER BY expires_at LIMIT $1);

-- revocations_since --
-- What may have been committed since a snapshot with this xmin, none that is older than any token
-- can be; and the xmin of now. One row at least.
SELECT seen.xmin, found.subject, found.version
FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin) AS seen
LEFT JOIN revocations AS found
    ON found.xid >= $1 AND found.at > now() - make_interval(secs => $2::integer);

-- tidy_revocations --
DELETE FROM revocations
WHERE id IN (
    SELECT id FROM revocations WHERE at < now() - make_interval(secs => $1::integer)
    ORDER BY at LIMIT $2
);

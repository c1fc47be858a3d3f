-- spend_flow --
-- Once: no row comes back if it was spent before. Clears away what is long over.
WITH gone AS (
    DELETE FROM spent_flows WHERE id IN (
        SELECT id FROM spent_flows WHERE expires_at < now() - interval '1 minute'
        ORDER BY expires_at LIMIT 100 FOR UPDATE SKIP LOCKED
    )
)
INSERT INTO spent_flows (id, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING id;

-- lock_ways_in --
-- Whoever takes a way in away waits for whoever does the same to this account.
SELECT has_password FROM users WHERE id = $1 FOR NO KEY UPDATE;

-- count_ways_in --
SELECT (SELECT count(*) FROM identities WHERE user_id = $1)
     + (SELECT count(*) FROM passkeys WHERE user_id = $1);

-- identity_by_subject --
-- Whose it is; notes that it is used.
UPDATE identities SET used_at = now() WHERE issuer = $1 AND subject = $2
RETURNING id, user_id, issuer, subject, email, created_at, used_at;

-- identities_of_user --
SELECT id, user_id, issuer, subject, email, created_at, used_at
FROM identities WHERE user_id = $1 ORDER BY id;

-- insert_identity --
-- No row comes back if it is somebody's already, or the account has as many as may be, or is gone
-- or kept out, or what the person has proved is over: a reset waits here, or is waited for. By
-- itself ($8) it is joined to a buyer's account alone, which has proved the address.
INSERT INTO identities (id, user_id, issuer, subject, email)
SELECT $1::text, users.id, $3::text, $4::text, $5::text FROM users
WHERE users.id = $2::text AND (SELECT count(*) FROM identities WHERE user_id = $2::text) < $6::int
  AND disabled_at IS NULL AND token_version <= $7::int
  AND (NOT $8::boolean OR (role = 'user' AND email_verified_at IS NOT NULL AND NOT is_claim))
FOR NO KEY UPDATE
ON CONFLICT DO NOTHING
RETURNING id, user_id, issuer, subject, email, created_at, used_at;

-- delete_identity --
DELETE FROM identities WHERE user_id = $1 AND id = $2 RETURNING id;

-- note_made_by_identity --
-- The provider's word is taken for the address; the password is one that nobody knows.
UPDATE users SET has_password = false, email_verified_at = now() WHERE id = $1;

-- insert_passkey --
-- No row comes back if the credential is somebody's already, or as in `insert_identity`.
INSERT INTO passkeys
    (id, user_id, credential_id, public_key, sign_count, transports, is_synced, name)
SELECT $1::text, users.id, $3::bytea, $4::bytea, $5::bigint, $6::text[], $7::boolean, $8::text
FROM users
WHERE users.id = $2::text AND (SELECT count(*) FROM passkeys WHERE user_id = $2::text) < $9::int
  AND disabled_at IS NULL AND token_version <= $10::int
FOR NO KEY UPDATE
ON CONFLICT DO NOTHING
RETURNING id, user_id, credential_id, public_key, sign_count, transports, is_synced, name,
          created_at, used_at;

-- passkey_by_credential --
SELECT id, user_id, credential_id, public_key, sign_count, transports, is_synced, name,
       created_at, used_at
FROM passkeys WHERE credential_id = $1;

-- passkeys_of_user --
SELECT id, user_id, credential_id, public_key, sign_count, transports, is_synced, name,
       created_at, used_at
FROM passkeys WHERE user_id = $1 ORDER BY id;

-- use_passkey --
-- Its count of signatures only grows; one that does not count says 0 each time.
UPDATE passkeys SET sign_count = $2, is_synced = $3, used_at = now()
WHERE id = $1 AND (sign_count < $2 OR (sign_count = 0 AND $2 = 0))
RETURNING id;

-- rename_passkey --
UPDATE passkeys SET name = $3 WHERE user_id = $1 AND id = $2
RETURNING id, user_id, credential_id, public_key, sign_count, transports, is_synced, name,
          created_at, used_at;

-- delete_passkey --
DELETE FROM passkeys WHERE user_id = $1 AND id = $2 RETURNING id;

-- count_passkeys --
SELECT count(*) FROM passkeys WHERE user_id = $1;

-- forget_passkeys --
-- Of an admin alone, found as for a new password.
DELETE FROM passkeys WHERE user_id = (
    SELECT id FROM users
    WHERE role = 'admin'
      AND (account_key = ANY (SELECT account_key(form) FROM unnest($1::text[]) AS given (form))
           OR lower(email) = ANY (SELECT lower(form) FROM unnest($1::text[]) AS given (form)))
    ORDER BY email = ($1::text[])[cardinality($1::text[])] DESC, created_at, id
    LIMIT 1
)
RETURNING user_id;

-- delete_identities_of --
DELETE FROM identities WHERE user_id = $1;

-- delete_passkeys_of --
DELETE FROM passkeys WHERE user_id = $1;

-- insert_user --
-- No row comes back if the address is taken, in any form that is one account.
INSERT INTO users (id, email, name, password_hash, role, organizer_id)
VALUES ($1, $2, $3, $4, $5::text::user_role, $6)
ON CONFLICT DO NOTHING
RETURNING id;

-- register_user --
-- The address is the new account's if nobody has it; else the account claims it. No row comes back
-- if somebody got it at the same moment: asked again, this claims it.
INSERT INTO users (id, email, name, password_hash, is_claim)
SELECT $1, $2, $3, $4, EXISTS (
    SELECT 1 FROM users
    WHERE account_key = ANY (SELECT account_key(form) FROM unnest($5::text[]) AS given (form))
       OR lower(email) = ANY (SELECT lower(form) FROM unnest($5::text[]) AS given (form))
)
ON CONFLICT DO NOTHING
RETURNING id;

-- user_by_email --
-- Whose the address is; where nobody has it, who was the last to claim it.
SELECT id, email, name, password_hash, role::text AS role, organizer_id, created_at,
       token_version, email_verified_at, is_claim, language, disabled_at, has_password
FROM users
WHERE erased_at IS NULL
  AND (account_key = ANY (SELECT account_key(form) FROM unnest($1::text[]) AS given (form))
       OR lower(email) = ANY (SELECT lower(form) FROM unnest($1::text[]) AS given (form)))
-- Older code could make two accounts of what is one address now: each is found as it was typed.
ORDER BY is_claim,
         email = ($1::text[])[cardinality($1::text[])] DESC,
         lower(email) = ANY (SELECT lower(form) FROM unnest($1::text[]) AS given (form)) DESC,
         CASE WHEN is_claim THEN -extract(epoch FROM created_at)
              ELSE extract(epoch FROM created_at) END,
         id
LIMIT 1;

-- user_by_claim --
-- Who was the last to claim an address, in its normal form, that may be another's.
SELECT id, email, name, password_hash, role::text AS role, organizer_id, created_at,
       token_version, email_verified_at, is_claim, language, disabled_at, has_password
FROM users
WHERE account_key(email) = account_key($1::text) AND is_claim
ORDER BY created_at DESC, id DESC
LIMIT 1;

-- user_by_id --
SELECT id, email, name, password_hash, role::text AS role, organizer_id, created_at,
       token_version, email_verified_at, is_claim, language, disabled_at, has_password
FROM users WHERE id = $1 AND erased_at IS NULL;

-- user_for_update --
SELECT id, email, name, password_hash, role::text AS role, organizer_id, created_at,
       token_version, email_verified_at, is_claim, language, disabled_at, has_password
FROM users WHERE id = $1 AND erased_at IS NULL
FOR UPDATE;

-- change_user --
UPDATE users SET name = coalesce($2, name), language = coalesce($3, language)
WHERE id = $1 AND erased_at IS NULL
RETURNING id;

-- end_tokens --
UPDATE users SET token_version = token_version + 1 WHERE id = $1
RETURNING token_version;

-- set_password --
UPDATE users SET password_hash = $2, token_version = token_version + 1
WHERE id = $1 AND erased_at IS NULL
RETURNING token_version;

-- hash_password_anew --
-- The same password: nothing is over by it.
UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2;

-- email_is_proved --
-- Whether an address is another's who has proved that it is theirs.
SELECT EXISTS (
    SELECT 1 FROM users
    WHERE account_key = account_key($1::text) AND id <> $2 AND email_verified_at IS NOT NULL
);

-- give_up_email --
-- Whoever had the address without a proof only claims it from now on.
UPDATE users SET is_claim = true
WHERE account_key = account_key($1::text) AND id <> $2 AND email_verified_at IS NULL;

-- prove_email --
UPDATE users SET email = $2, email_verified_at = now(), is_claim = false
WHERE id = $1 AND erased_at IS NULL;

-- admin_exists --
SELECT EXISTS (SELECT 1 FROM users WHERE role = 'admin' AND erased_at IS NULL);

-- set_admin_password --
-- Of an admin alone, rather of the account that is written so to the letter.
UPDATE users SET password_hash = $2, token_version = token_version + 1
WHERE id = (
    SELECT id FROM users
    WHERE role = 'admin' AND erased_at IS NULL
      AND (account_key = ANY (SELECT account_key(form) FROM unnest($1::text[]) AS given (form))
           OR lower(email) = ANY (SELECT lower(form) FROM unnest($1::text[]) AS given (form)))
    ORDER BY email = ($1::text[])[cardinality($1::text[])] DESC, created_at, id
    LIMIT 1
)
RETURNING id;

-- insert_organizer --
INSERT INTO organizers (id, name) VALUES ($1, $2);

-- insert_users --
-- Many at once, for seeding; addresses that are taken are left as they are.
INSERT INTO users (id, email, name, password_hash)
SELECT id, email, name, $4 FROM unnest($1::text[], $2::text[], $3::text[]) AS new (id, email, name)
ON CONFLICT DO NOTHING;

-- users_by_emails --
SELECT id, email FROM users WHERE lower(email) = ANY ($1::text[]) AND NOT is_claim;

-- names_of_users --
SELECT id, email, name FROM users WHERE id = ANY ($1::text[]) AND erased_at IS NULL;

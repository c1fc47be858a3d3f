-- put_account_token --
-- One of an account for each purpose: a newer one ends the older. No row comes back where the older
-- one was made only just now: nobody's letters are multiplied.
INSERT INTO account_tokens (token_hash, user_id, purpose, email, expires_at)
VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5::integer))
ON CONFLICT (user_id, purpose) DO UPDATE
SET token_hash = excluded.token_hash, email = excluded.email, made_at = now(),
    expires_at = excluded.expires_at
WHERE account_tokens.made_at <= now() - make_interval(secs => $6::integer)
   OR account_tokens.email <> excluded.email
RETURNING expires_at;

-- take_account_token --
-- A token is good once.
DELETE FROM account_tokens
WHERE token_hash = $1 AND purpose = ANY ($2::text[]) AND user_id IS NOT NULL
  AND ($3::text IS NULL OR user_id = $3) AND expires_at > now()
RETURNING user_id, purpose, email;

-- drop_account_tokens --
DELETE FROM account_tokens WHERE user_id = $1;

-- tidy_account_tokens --
DELETE FROM account_tokens
WHERE token_hash IN (
    SELECT token_hash FROM account_tokens WHERE expires_at < now() ORDER BY expires_at LIMIT $1
);

-- insert_account_message --
INSERT INTO outbox (kind, user_id, subject_id, payload, secret_until)
VALUES ($1, $2, $2, $3::jsonb, $4);

-- insert_event_changed --
-- One row for all who have bookings or tickets of the event.
INSERT INTO outbox (kind, event_id, user_id, subject_id, payload)
VALUES ('event.changed', $1, '', $1, $2::jsonb);

-- tidy_outbox_secrets --
-- What was secret in a message and can open nothing any more.
UPDATE outbox SET payload = payload - 'token', secret_until = NULL
WHERE id IN (
    SELECT id FROM outbox WHERE secret_until < now() ORDER BY secret_until LIMIT $1
);

-- forget_outbox_secrets --
-- The same of messages to an account, at once: their tokens are over.
UPDATE outbox SET payload = payload - 'token', secret_until = NULL
WHERE user_id = $1 AND secret_until IS NOT NULL AND kind = ANY ($2::text[]);

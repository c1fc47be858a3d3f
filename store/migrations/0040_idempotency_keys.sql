-- Requests that carried an Idempotency-Key and changed something in PostgreSQL, with the answer
-- that a repetition gets again (docs/decisions/0028-a-kept-answer.md).

CREATE TABLE idempotency_keys (
    caller       text COLLATE "C" NOT NULL, -- account, API key or device
    key_hash     bytea       NOT NULL CHECK (length(key_hash) = 16), -- of key, method and path
    request_hash bytea       NOT NULL CHECK (length(request_hash) = 16), -- of the body
    attempt      bytea       NOT NULL CHECK (length(attempt) = 16), -- whose turn it is
    begun_at     timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    done_at      timestamptz, -- set by the transaction that did it
    subject      text CHECK (length(subject) <= 200), -- id of what it was done to
    status       smallint CHECK (status BETWEEN 200 AND 299), -- null: no answer is kept
    headers      text CHECK (length(headers) <= 4000),
    answer       bytea CHECK (length(answer) <= 262144),
    PRIMARY KEY (caller, key_hash)
);
CREATE INDEX idempotency_keys_by_end ON idempotency_keys (expires_at);

-- Note within a transaction that it does what a request asked for; false if another attempt of the
-- same request has taken its turn since, and the transaction must not go on.
CREATE FUNCTION use_key(whose text, hash bytea, turn bytea, what text) RETURNS boolean
-- With the owner's rights: acts are done in roles that cannot see these rows (store/roles.py).
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH used AS (
        UPDATE public.idempotency_keys
        SET done_at = coalesce(done_at, now()), subject = coalesce(subject, what)
        WHERE caller = whose AND key_hash = hash AND attempt = turn
        RETURNING 1)
    SELECT EXISTS (SELECT FROM used)
$$;
REVOKE ALL ON FUNCTION use_key FROM PUBLIC;

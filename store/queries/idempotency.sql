-- begin_attempt --
-- Take the turn for a request: a new one, one that has run out, or one that was begun so long ago
-- that nobody is at it any more, and was not done. No row: it is not to be had, or the caller has
-- as many as there may be.
INSERT INTO idempotency_keys (caller, key_hash, request_hash, attempt, expires_at)
SELECT $1, $2, $3, $4, now() + $5::interval
WHERE $7 > (SELECT count(*) FROM (
    SELECT FROM idempotency_keys WHERE caller = $1 AND expires_at > now() LIMIT $7) AS own)
ON CONFLICT (caller, key_hash) DO UPDATE
SET request_hash = EXCLUDED.request_hash, attempt = EXCLUDED.attempt, begun_at = now(),
    expires_at = EXCLUDED.expires_at, done_at = NULL, subject = NULL, status = NULL,
    headers = NULL, answer = NULL
WHERE idempotency_keys.expires_at <= now()
   OR (idempotency_keys.done_at IS NULL AND idempotency_keys.status IS NULL
       AND idempotency_keys.request_hash = EXCLUDED.request_hash
       AND idempotency_keys.begun_at < now() - $6::interval)
RETURNING true;

-- earlier_attempt --
SELECT request_hash, done_at IS NOT NULL AS is_done, subject, status, headers, answer
FROM idempotency_keys WHERE caller = $1 AND key_hash = $2;

-- use_key --
SELECT use_key($1, $2, $3, $4);

-- keep_answer --
UPDATE idempotency_keys
SET done_at = coalesce(done_at, now()), status = $4, headers = $5, answer = $6
WHERE caller = $1 AND key_hash = $2 AND attempt = $3;

-- end_keyed --
-- Of a request that has changed nothing: its key is free again.
DELETE FROM idempotency_keys
WHERE caller = $1 AND key_hash = $2 AND attempt = $3 AND done_at IS NULL;

-- count_idempotency_keys --
SELECT count(*) FROM idempotency_keys WHERE expires_at < $1;

-- prune_idempotency_keys --
DELETE FROM idempotency_keys WHERE (caller, key_hash) IN (
    SELECT caller, key_hash FROM idempotency_keys WHERE expires_at < $1
    ORDER BY expires_at LIMIT $2);

-- export_idempotency_keys --
-- Without hashes, and without the answers: what they told is in the tables that they told of.
SELECT encode(key_hash, 'hex') AS place,
       (to_jsonb(idempotency_keys)
        - '{key_hash,request_hash,attempt,headers,answer}'::text[])::text AS row
FROM idempotency_keys WHERE caller = $1 AND encode(key_hash, 'hex') > $2 ORDER BY 1 LIMIT $3;

-- erase_idempotency_keys --
DELETE FROM idempotency_keys WHERE caller = $1;

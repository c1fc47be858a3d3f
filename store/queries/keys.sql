-- signing_keys --
-- Keys that still count, and those of settings; how long until they sign and end, by the one clock.
SELECT kid, purpose, is_setting, sealed, made_at, signs_at, retires_at,
       extract(epoch FROM signs_at - clock_timestamp())::float8 AS signs_in_s,
       extract(epoch FROM retires_at - clock_timestamp())::float8 AS retires_in_s
FROM signing_keys
WHERE is_setting OR retires_at IS NULL OR retires_at > clock_timestamp()
ORDER BY purpose, signs_at, kid;

-- receipt_keys --
-- Keys of receipts, and whether what they signed still counts.
SELECT receipt_key, retires_at IS NULL OR retires_at > clock_timestamp() AS counts
FROM signing_keys WHERE receipt_key IS NOT NULL;

-- lock_signing_keys --
LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE;

-- note_setting_key --
-- The key of a setting, as it is when it is first told from others.
INSERT INTO signing_keys (kid, purpose, is_setting, ticket_key, receipt_key, signs_at)
VALUES ($1, $2, true, $3, $4, to_timestamp(0))
ON CONFLICT DO NOTHING;

-- insert_signing_key --
INSERT INTO signing_keys (kid, purpose, sealed, ticket_key, receipt_key, signs_at)
VALUES ($1, $2, $3, $4, $5, clock_timestamp() + make_interval(secs => $6::float8))
ON CONFLICT DO NOTHING
RETURNING kid;

-- end_other_keys --
-- Those that will not sign any more end when the last of what they signed has.
UPDATE signing_keys
SET retires_at = (SELECT signs_at FROM signing_keys AS newest
                  WHERE newest.purpose = $1 AND newest.kid = $2)
                 + make_interval(secs => $3::float8)
WHERE purpose = $1 AND kid <> $2 AND retires_at IS NULL;

-- retire_key --
UPDATE signing_keys SET retires_at = clock_timestamp(), sealed = NULL
WHERE purpose = $1 AND kid = $2;

-- forget_retired_keys --
-- What is over keeps its name and loses its secret.
UPDATE signing_keys SET sealed = NULL WHERE sealed IS NOT NULL AND retires_at < clock_timestamp();

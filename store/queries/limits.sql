-- account_word --
SELECT account_word($1);

-- take_attempts --
SELECT take_attempts($1::text[], $2::int[], $3::bigint[], $4);

-- look_at_buckets --
SELECT wait_ms
FROM look_at_buckets($1::text[], $2::int[], $3::bigint[], clock_timestamp())
ORDER BY no;

-- add_attempts --
-- Taken elsewhere already: nobody is refused here, and a bucket is empty at worst.
INSERT INTO buckets AS known (name, full_at)
SELECT given.name,
       now() + least(given.taken * $3::double precision, $4::bigint) * interval '1 millisecond'
FROM unnest($1::text[], $2::int[]) AS given (name, taken)
ORDER BY given.name
ON CONFLICT (name) DO UPDATE
SET full_at = least(greatest(known.full_at, now()) + (excluded.full_at - now()),
                    now() + $4::bigint * interval '1 millisecond')
RETURNING name, (extract(epoch FROM full_at - now()) * 1000)::double precision AS full_in_ms;

-- forget_full_buckets --
DELETE FROM buckets
WHERE name IN (SELECT name FROM buckets WHERE full_at < now() LIMIT $1 FOR UPDATE SKIP LOCKED);

-- forget_old_origins --
DELETE FROM familiar_origins WHERE seen_at < now() - $1::interval;

-- forget_account --
DELETE FROM familiar_origins WHERE account = account_word($1);

-- fill_buckets --
-- Of each name, and of all that begin with it.
WITH filled AS (
    DELETE FROM buckets WHERE EXISTS (
        SELECT FROM unnest($1::text[]) AS given (name)
        WHERE buckets.name = given.name OR starts_with(buckets.name, given.name || ':')
    )
    RETURNING full_at
)
SELECT count(*) FROM filled WHERE full_at > now();

-- knows_origin --
SELECT EXISTS (
    SELECT FROM familiar_origins
    WHERE account = $1 AND origin = $2 AND seen_at > now() - $3::interval
);

-- note_origin --
-- Once a day is enough.
INSERT INTO familiar_origins AS known (account, origin) VALUES ($1, $2)
ON CONFLICT (account, origin) DO UPDATE SET seen_at = now()
WHERE known.seen_at < now() - interval '1 day'
RETURNING account;

-- forget_origins --
-- Of one account all but the newest.
DELETE FROM familiar_origins
WHERE account = $1 AND (seen_at < now() - $2::interval OR origin NOT IN (
    SELECT origin FROM familiar_origins WHERE account = $1 ORDER BY seen_at DESC, origin LIMIT $3
));

-- How often somebody has tried what is limited, over all processes: accounts made, passwords
-- missed, requests. No figure of it is worth a sync of the disk: after a crash of this server all
-- is forgotten, and everybody has all attempts again.
CREATE UNLOGGED TABLE buckets (
    name    text COLLATE "C" PRIMARY KEY, -- what is limited, and a word for whom
    full_at timestamptz NOT NULL          -- when all attempts are there again
) WITH (fillfactor = 50);

-- From where the person of an account has signed in, so that strangers cannot lock them out.
CREATE TABLE familiar_origins (
    account text COLLATE "C" NOT NULL, -- a word for the account's address, by `account_word`
    origin  text COLLATE "C" NOT NULL, -- a keyed word for a network address
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, origin)
);
CREATE INDEX familiar_origins_by_time ON familiar_origins (seen_at);

-- What stands for an address of an account where it must not be read, whether there is one or not.
CREATE FUNCTION account_word(email text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN encode(substr(sha256(convert_to(account_key(email), 'UTF8')), 1, 12), 'hex');

-- After how many ms each bucket has an attempt, 0: at once. One of a clock that ran ahead is empty
-- at worst.
CREATE FUNCTION look_at_buckets(names text[], attempts_max int[], windows_ms bigint[],
                                moment timestamptz)
RETURNS TABLE (no bigint, wait_ms bigint) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT given.no,
           greatest(0, round(
               least(extract(epoch FROM greatest(buckets.full_at, moment) - moment) * 1000,
                     given.window_ms)
               + given.window_ms::numeric / given.attempts_max - given.window_ms
           ))::bigint
    FROM unnest(names, attempts_max, windows_ms) WITH ORDINALITY
         AS given (name, attempts_max, window_ms, no)
    LEFT JOIN buckets ON buckets.name = given.name;
END;

-- Takes an attempt from each bucket that has one, or `wholly` from all or none; tells the waits.
CREATE FUNCTION take_attempts(names text[], attempts_max int[], windows_ms bigint[],
                              wholly boolean)
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    moment   timestamptz;
    waits_ms bigint[];
BEGIN
    -- All are locked, in one order, so that nobody waits for each other.
    INSERT INTO buckets AS known (name, full_at)
    SELECT given.name, now() FROM unnest(names) AS given (name) ORDER BY given.name
    ON CONFLICT (name) DO UPDATE SET full_at = known.full_at;
    moment := clock_timestamp();
    SELECT array_agg(seen.wait_ms ORDER BY seen.no) INTO waits_ms
    FROM look_at_buckets(names, attempts_max, windows_ms, moment) AS seen;
    IF wholly AND EXISTS (SELECT FROM unnest(waits_ms) AS one (wait_ms) WHERE one.wait_ms > 0) THEN
        RETURN waits_ms;
    END IF;
    UPDATE buckets
    SET full_at = least(greatest(buckets.full_at, moment), moment + given.size) + given.step
    FROM (SELECT one.name, one.window_ms * interval '1 millisecond' AS size,
                 one.window_ms::double precision / one.attempts_max * interval '1 millisecond'
                     AS step
          FROM unnest(names, attempts_max, windows_ms, waits_ms)
               AS one (name, attempts_max, window_ms, wait_ms)
          WHERE one.wait_ms = 0) AS given
    WHERE buckets.name = given.name;
    RETURN waits_ms;
END $$;

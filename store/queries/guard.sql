-- guard_settings --
-- What the server is configured to, in this session; a name it does not know has no row.
SELECT name, setting FROM pg_settings WHERE name = ANY($1::text[])
UNION ALL
SELECT 'pg_is_in_recovery', CASE WHEN pg_is_in_recovery() THEN 'on' ELSE 'off' END;

-- guard_clock --
-- Unix milliseconds by the server's clock.
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint;

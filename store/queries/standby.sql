-- primary_place --
-- Which cluster this is, and up to which byte its log is written.
SELECT system_identifier::text AS cluster, (pg_current_wal_lsn() - '0/0')::bigint AS lsn
FROM pg_control_system();

-- standby_place --
-- Which cluster this follows, and up to which byte of its log it is; -1: it follows nobody.
SELECT system_identifier::text AS cluster,
       CASE WHEN pg_is_in_recovery()
            THEN coalesce((pg_last_wal_replay_lsn() - '0/0')::bigint, -1) ELSE -1 END AS lsn
FROM pg_control_system();

-- written --
SELECT (pg_current_wal_lsn() - '0/0')::bigint;

-- replayed --
SELECT CASE WHEN pg_is_in_recovery()
            THEN coalesce((pg_last_wal_replay_lsn() - '0/0')::bigint, -1) ELSE -1 END;

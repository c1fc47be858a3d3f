-- read_reign --
-- What workers need to act on a shard; no row while nobody opened it.
SELECT epoch, state::text AS state, nonce, redis_run_id, redis_replid, seen_seq, has_merged,
    reason, records_version, home
FROM shard_epoch WHERE shard = $1 AND epoch > 0;

-- shards --
-- All shards that there are, opened or not.
SELECT shard, epoch, state::text AS state, home, is_reserved FROM shard_epoch ORDER BY shard;

-- reign_changes --
SELECT shard, reason, changed_at FROM shard_epoch;

-- sale_since --
-- Whether all shards are open, and since when that is so.
SELECT bool_and(state = 'open') AS is_open,
       coalesce(min(changed_at) FILTER (WHERE state <> 'open'), max(changed_at)) AS since
FROM shard_epoch WHERE epoch > 0;

-- begin_shards --
-- The shards of a new deployment, each with its home; no row where there are shards already.
INSERT INTO shard_epoch (shard, epoch, state, holder, lease_until, nonce, home)
SELECT shard, 0, 'recovering', '', now() - interval '1 second', '', home
FROM unnest($1::smallint[], $2::text[]) AS begun (shard, home)
WHERE NOT EXISTS (SELECT FROM shard_epoch)
ON CONFLICT (shard) DO NOTHING
RETURNING shard;

-- add_shard --
-- The next number; no row if another command took it at the same moment.
INSERT INTO shard_epoch (shard, epoch, state, holder, lease_until, nonce, home, is_reserved)
SELECT coalesce(max(shard) + 1, 0), 0, 'recovering', '', now() - interval '1 second', '', $1, $2
FROM shard_epoch
ON CONFLICT (shard) DO NOTHING
RETURNING shard;

-- home_of --
-- Where a shard lives, opened or not; no row if there is none.
SELECT home FROM shard_epoch WHERE shard = $1;

-- name_home --
-- Write down the home of a shard that was opened before homes had names; no row if it has one.
UPDATE shard_epoch SET home = $2 WHERE shard = $1 AND home = '' RETURNING shard;

-- move_home --
-- The shard lives elsewhere from now on: under the claim that fenced the old home (I21). Whatever
-- the new one has of an earlier life, it is rebuilt there.
WITH moved AS (
    UPDATE shard_epoch SET home = $4, has_merged = true, changed_at = now()
    WHERE shard = $1 AND epoch = $2 AND holder = $3 AND state = 'recovering'
    RETURNING shard, epoch
)
INSERT INTO moves (shard, epoch, from_home, to_home, said_gone)
SELECT shard, epoch, $5, $4, $6 FROM moved
RETURNING epoch;

-- set_records_version --
-- From the next reign on; the coordinator begins it, since the present one's scripts do not fit.
UPDATE shard_epoch SET records_version = $2 WHERE shard = $1 RETURNING epoch;

-- keep_scripts --
INSERT INTO script_sets (digest, layout, records_version_max, texts) VALUES ($1, $2, $3, $4::jsonb)
ON CONFLICT (digest) DO UPDATE SET loaded_at = now();

-- kept_scripts --
SELECT texts::text AS texts FROM script_sets WHERE layout = $1 AND records_version_max >= $2
ORDER BY loaded_at DESC LIMIT $3;

-- first_claim --
-- Make the shard's row, for the coordinator that gets there first.
WITH named AS MATERIALIZED (
    SELECT CASE WHEN $2 LIKE 'session:%' THEN pg_try_advisory_lock(hashtextextended($2, 0)) END
)
INSERT INTO shard_epoch AS known (shard, epoch, state, holder, lease_until, nonce, home)
SELECT $1, 1, 'recovering', $2, now() + $3::interval, $4, $5 FROM named
ON CONFLICT (shard) DO UPDATE
SET epoch = 1, holder = $2, lease_until = now() + $3::interval, nonce = $4, changed_at = now()
WHERE known.epoch = 0 AND known.home = $5
RETURNING epoch;

-- claim --
-- Take the shard for recovery: compare-and-set on the epoch seen. No row: somebody else has it.
-- Waits for persister batches under way, which hold the row FOR SHARE. The claimant's session has
-- a lock under its name for as long as it lives, from before the claim is there: whose lock can be
-- taken is dead, and its lease need not end first.
WITH named AS MATERIALIZED (
    SELECT CASE WHEN $3 LIKE 'session:%' THEN pg_try_advisory_lock(hashtextextended($3, 0)) END
)
UPDATE shard_epoch
SET epoch = epoch + 1, state = 'recovering', holder = $3, lease_until = now() + $4::interval,
    nonce = $5, reason = '', changed_at = now()
FROM named
WHERE shard = $1 AND epoch = $2 AND home = $6
    AND (state <> 'recovering' OR lease_until < now() OR CASE WHEN holder LIKE 'session:%'
        THEN pg_try_advisory_xact_lock(hashtextextended(holder, 0)) ELSE false END)
RETURNING epoch;

-- open_reign --
-- Publish the shard as open; one row, or the claim was lost meanwhile.
UPDATE shard_epoch
SET state = 'open', redis_run_id = $4, redis_replid = $5, seen_seq = 0, has_merged = false,
    reason = '', changed_at = now()
WHERE shard = $1 AND epoch = $2 AND holder = $3 AND state = 'recovering'
RETURNING epoch;

-- note_merged --
-- PostgreSQL now has what Redis has not, or has given up what Redis may come back with: no recovery
-- may open the shard without a rebuild. Within the transaction that brings it, and first in it,
-- since it waits for who has the row FOR SHARE.
UPDATE shard_epoch SET has_merged = true WHERE shard = $1;

-- freeze_reign --
-- Leave the shard shut until a human has looked.
UPDATE shard_epoch
SET state = 'frozen', reason = $4, changed_at = now()
WHERE shard = $1 AND epoch = $2 AND holder = $3
RETURNING epoch;

-- note_seen --
-- What a worker that was fenced has seen acknowledged in epoch $2: recovery must find as much. It
-- may have claimed the next epoch meanwhile.
UPDATE shard_epoch SET seen_seq = greatest(seen_seq, $3), changed_at = now()
WHERE shard = $1 AND (epoch = $2 OR (epoch = $2 + 1 AND state = 'recovering'));

-- doubt_reign --
-- Shut an open shard because Redis has lost records that were acknowledged; recovery takes it from
-- there. No row: it is shut already.
UPDATE shard_epoch SET state = 'recovering', lease_until = now(), reason = $3, changed_at = now()
WHERE shard = $1 AND epoch = $2 AND state = 'open';

-- renew_claim --
-- The recovery goes on; no row: the claim was lost.
UPDATE shard_epoch SET lease_until = now() + $4::interval
WHERE shard = $1 AND epoch = $2 AND holder = $3 AND state = 'recovering'
RETURNING epoch;

-- release_claim --
-- The recovery failed and says so: the next one need not wait for the lease to end.
UPDATE shard_epoch SET lease_until = now() - interval '1 second'
WHERE shard = $1 AND epoch = $2 AND holder = $3 AND state = 'recovering';

-- thaw_reign --
-- A human has looked: any coordinator may try again.
UPDATE shard_epoch
SET state = 'recovering', lease_until = now() - interval '1 second', reason = '',
    changed_at = now()
WHERE shard = $1 AND state = 'frozen'
RETURNING epoch;

-- freeze_open --
-- Stop the sales of an open shard, from within the ledger transaction that found the reason.
UPDATE shard_epoch SET state = 'frozen', reason = $3, changed_at = now()
WHERE shard = $1 AND epoch = $2 AND state = 'open';

-- lock_reign --
SELECT epoch, state::text AS state FROM shard_epoch WHERE shard = $1 FOR UPDATE;

-- share_reign --
-- Hold the shard's epoch still for the length of one ledger transaction (I13).
SELECT epoch, state::text AS state, holder FROM shard_epoch WHERE shard = $1 FOR SHARE;

-- ensure_checkpoint --
INSERT INTO shard_checkpoint (shard, epoch, last_seq) VALUES ($1, $2, 0)
ON CONFLICT (shard, epoch) DO NOTHING;

-- lock_checkpoint --
-- Waits for a commit under way, even one whose client is gone, and tells what came of it (F26).
SELECT last_seq, bytes FROM shard_checkpoint WHERE shard = $1 AND epoch = $2 FOR UPDATE;

-- read_checkpoint --
SELECT last_seq FROM shard_checkpoint WHERE shard = $1 AND epoch = $2;

-- lock_place --
-- As `lock_checkpoint`, with the end of the journal's own rows, which must be the same. Where this
-- has waited for a commit, the end may be of before it: whoever sees a difference looks again.
SELECT last_seq, bytes, coalesce(
    (SELECT journal.last_seq FROM journal
     WHERE journal.shard = $1 AND journal.epoch = $2 ORDER BY first_seq DESC LIMIT 1), 0) AS end_seq
FROM shard_checkpoint WHERE shard = $1 AND epoch = $2 FOR UPDATE OF shard_checkpoint;

-- read_place --
-- The same without a lock, of one moment.
SELECT last_seq, coalesce(
    (SELECT journal.last_seq FROM journal
     WHERE journal.shard = $1 AND journal.epoch = $2 ORDER BY first_seq DESC LIMIT 1), 0) AS end_seq
FROM shard_checkpoint WHERE shard = $1 AND epoch = $2;

-- places --
-- All checkpoints of a shard; those from epoch $2 on, or the last three, with the end of the
-- journal's own rows.
SELECT epoch, last_seq, CASE
    WHEN epoch < coalesce($2::bigint,
                          (SELECT max(epoch) - 2 FROM shard_checkpoint WHERE shard = $1))
    THEN last_seq ELSE coalesce(
    (SELECT journal.last_seq FROM journal
     WHERE journal.shard = $1 AND journal.epoch = shard_checkpoint.epoch
     ORDER BY first_seq DESC LIMIT 1), 0) END AS end_seq
FROM shard_checkpoint WHERE shard = $1 ORDER BY epoch;

-- rows_behind --
-- The journal's rows with records behind $3: where they begin and end, how many records they say
-- they have, and whether the epoch's first record is among all that are there, with all bytes.
SELECT coalesce(min(first_seq) FILTER (WHERE last_seq > $3), 0) AS first_seq,
       coalesce(max(last_seq), 0) AS end_seq,
       coalesce(sum(last_seq - first_seq + 1) FILTER (WHERE last_seq > $3), 0) AS records,
       coalesce(min(first_seq), 1) AS begin_seq,
       coalesce(sum(octet_length(records) + 1), 0)::bigint AS bytes
FROM journal WHERE shard = $1 AND epoch = $2;

-- has_made_behind --
-- Whether rows of bookings or of the waitlist are of records of an epoch behind $3.
SELECT EXISTS (SELECT FROM bookings WHERE shard = $1 AND epoch = $2 AND seq > $3)
    OR EXISTS (SELECT FROM waitlist_entries
               WHERE shard = $1 AND changed_epoch = $2 AND changed_seq > $3);

-- adopt_checkpoint --
-- Of an epoch that has rows in the journal and no checkpoint: at 0, to be set by the rows.
INSERT INTO shard_checkpoint (shard, epoch, last_seq)
SELECT shard, epoch, 0 FROM journal WHERE shard = $1 AND epoch = $2 LIMIT 1
ON CONFLICT (shard, epoch) DO NOTHING RETURNING epoch;

-- set_checkpoint --
-- By the journal's own rows; compare-and-set on what was seen.
UPDATE shard_checkpoint SET last_seq = $4, bytes = coalesce($5, bytes), changed_at = now()
WHERE shard = $1 AND epoch = $2 AND last_seq = $3
RETURNING last_seq;

-- horizon --
-- What PostgreSQL has of an epoch, and whether the shard is open under it.
SELECT
    coalesce((SELECT last_seq FROM shard_checkpoint WHERE shard = $1 AND epoch = $2), -1)
        AS last_seq,
    EXISTS (SELECT FROM shard_epoch WHERE shard = $1 AND epoch = $2 AND state = 'open')
        AS is_open;

-- move_checkpoint --
-- Compare-and-set: a persister that was overtaken changes no row and must abort (F27).
UPDATE shard_checkpoint SET last_seq = $4, bytes = bytes + $5, changed_at = now()
WHERE shard = $1 AND epoch = $2 AND last_seq = $3
RETURNING bytes;

-- checkpoints --
SELECT epoch, last_seq FROM shard_checkpoint WHERE shard = $1 ORDER BY epoch;

-- newest_checkpoints --
-- How far PostgreSQL is in the newest epoch of each shard that it has records of.
SELECT DISTINCT ON (shard) shard, epoch, last_seq FROM shard_checkpoint
ORDER BY shard, epoch DESC;

-- raise_epoch --
-- Lift a claim past an epoch that Redis has used, so that no journal's name is used twice (F31).
UPDATE shard_epoch SET epoch = $4, changed_at = now()
WHERE shard = $1 AND epoch = $2 AND holder = $3 AND state = 'recovering' AND epoch <= $4
RETURNING epoch;

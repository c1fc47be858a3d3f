-- read_reign --
-- What workers need to act on a shard; no row while nobody opened it.
SELECT epoch, state::text AS state, nonce, redis_run_id, reason FROM shard_epoch WHERE shard = $1;

-- first_claim --
-- Make the shard's row, for the coordinator that gets there first.
INSERT INTO shard_epoch (shard, epoch, state, holder, lease_until, nonce)
VALUES ($1, 1, 'recovering', $2, now() + $3::interval, $4)
ON CONFLICT (shard) DO NOTHING
RETURNING epoch;

-- claim --
-- Take the shard for recovery: compare-and-set on the epoch seen. No row: somebody else has it.
-- Waits for persister batches under way, which hold the row FOR SHARE.
UPDATE shard_epoch
SET epoch = epoch + 1, state = 'recovering', holder = $3, lease_until = now() + $4::interval,
    nonce = $5, reason = '', changed_at = now()
WHERE shard = $1 AND epoch = $2 AND (state <> 'recovering' OR lease_until < now())
RETURNING epoch;

-- open_reign --
-- Publish the shard as open; one row, or the claim was lost meanwhile.
UPDATE shard_epoch
SET state = 'open', redis_run_id = $4, reason = '', changed_at = now()
WHERE shard = $1 AND epoch = $2 AND holder = $3 AND state = 'recovering'
RETURNING epoch;

-- freeze_reign --
-- Leave the shard shut until a human has looked.
UPDATE shard_epoch
SET state = 'frozen', reason = $4, changed_at = now()
WHERE shard = $1 AND epoch = $2 AND holder = $3
RETURNING epoch;

-- freeze_open --
-- Stop the sales of an open shard, from within the ledger transaction that found the reason.
UPDATE shard_epoch SET state = 'frozen', reason = $3, changed_at = now()
WHERE shard = $1 AND epoch = $2 AND state = 'open';

-- thaw_reign --
-- Let the coordinator try again: a frozen shard becomes one whose claim has run out.
UPDATE shard_epoch SET state = 'recovering', lease_until = now(), changed_at = now()
WHERE shard = $1 AND state = 'frozen'
RETURNING epoch;

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

-- move_checkpoint --
-- Compare-and-set: a persister that was overtaken changes no row and must abort (F27).
UPDATE shard_checkpoint SET last_seq = $4, bytes = bytes + $5, changed_at = now()
WHERE shard = $1 AND epoch = $2 AND last_seq = $3
RETURNING bytes;

-- checkpoints --
SELECT epoch, last_seq FROM shard_checkpoint WHERE shard = $1 ORDER BY epoch;

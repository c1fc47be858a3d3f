-- change_waitlist_entries --
-- Entries of earlier batches: where they are at the end of this one. NULL leaves a value as it is.
UPDATE waitlist_entries
SET status = coalesce(new.status::waitlist_status, waitlist_entries.status),
    version = coalesce(new.version, waitlist_entries.version),
    stalled_at = coalesce(new.stalled_at, waitlist_entries.stalled_at),
    offered_at = coalesce(new.offered_at, waitlist_entries.offered_at),
    changed_epoch = $1, changed_seq = new.seq, changed_at = new.at
FROM unnest($2::text[], $3::text[], $4::text[], $5::smallint[], $6::timestamptz[],
            $7::timestamptz[], $8::bigint[], $9::timestamptz[])
    AS new (event_id, id, status, version, stalled_at, offered_at, seq, at)
WHERE waitlist_entries.event_id = new.event_id AND waitlist_entries.id = new.id
  AND (waitlist_entries.changed_epoch, waitlist_entries.changed_seq) < ($1, new.seq);

-- insert_waitlist_entries --
-- The conflict target is the entry alone: a conflict of any other kind must raise (F29).
INSERT INTO waitlist_entries (event_id, id, user_id, tier_no, quantity, join_no, status, version,
                              fingerprint, shard, epoch, seq, joined_at, stalled_at, offered_at,
                              changed_epoch, changed_seq, changed_at)
SELECT event_id, id, user_id, tier_no, quantity, join_no, status::waitlist_status, version,
       fingerprint, $1, $2, seq, joined_at, stalled_at, offered_at, $2, changed_seq, changed_at
FROM unnest($3::text[], $4::text[], $5::text[], $6::smallint[], $7::smallint[], $8::text[],
            $9::text[], $10::smallint[], $11::text[], $12::bigint[], $13::timestamptz[],
            $14::timestamptz[], $15::timestamptz[], $16::bigint[], $17::timestamptz[])
    AS new (event_id, id, user_id, tier_no, quantity, join_no, status, version, fingerprint, seq,
            joined_at, stalled_at, offered_at, changed_seq, changed_at)
ON CONFLICT (event_id, id) DO NOTHING
RETURNING id;

-- foreign_entries --
-- Of some entries those that another record has made.
SELECT waitlist_entries.id
FROM waitlist_entries JOIN unnest($2::text[], $3::text[], $4::bigint[]) AS own (event_id, id, seq)
    ON waitlist_entries.event_id = own.event_id AND waitlist_entries.id = own.id
WHERE (waitlist_entries.epoch, waitlist_entries.seq) <> ($1, own.seq);

-- waitlist_of_user --
-- One page, newest first, continuing after (joined_at, id).
SELECT event_id, id, status::text AS status, tier_no, quantity, seq, joined_at
FROM waitlist_entries
WHERE user_id = $1 AND (joined_at, id) < ($2, $3)
ORDER BY joined_at DESC, id DESC LIMIT $4;

-- waitlist_flow --
-- What a tier's list was offered lately, the base of an honest estimate.
SELECT count(*) AS offers, coalesce(sum(quantity), 0) AS places,
       extract(epoch FROM now() - min(offered_at)) AS seconds
FROM waitlist_entries
WHERE event_id = $1 AND tier_no = $2 AND offered_at > now() - $3::interval;

-- audit_waitlist --
SELECT event_id, id, status::text AS status, version, epoch, seq,
       (extract(epoch FROM joined_at) * 1000)::bigint AS at_ms, user_id, fingerprint, tier_no,
       quantity, join_no,
       coalesce((extract(epoch FROM stalled_at) * 1000)::bigint, 0) AS stalled_at_ms,
       changed_epoch, changed_seq, (extract(epoch FROM changed_at) * 1000)::bigint AS changed_at_ms,
       (extract(epoch FROM offered_at) * 1000)::bigint AS offered_at_ms
FROM waitlist_entries WHERE event_id = ANY($1::text[]);

-- audit_shard_waitlist --
-- The same columns, of a whole shard, or of some of its events.
SELECT event_id, id, status::text AS status, version, epoch, seq,
       (extract(epoch FROM joined_at) * 1000)::bigint AS at_ms, user_id, fingerprint, tier_no,
       quantity, join_no,
       coalesce((extract(epoch FROM stalled_at) * 1000)::bigint, 0) AS stalled_at_ms,
       changed_epoch, changed_seq, (extract(epoch FROM changed_at) * 1000)::bigint AS changed_at_ms,
       (extract(epoch FROM offered_at) * 1000)::bigint AS offered_at_ms
FROM waitlist_entries
WHERE shard = $1 AND ($2::text[] IS NULL OR event_id = ANY($2::text[]));

-- drop_waitlist_of --
-- For repairs alone: within the transaction that writes them again from their records.
DELETE FROM waitlist_entries WHERE event_id = $1 AND id = ANY($2::text[]);

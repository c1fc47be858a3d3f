-- insert_outbox --
INSERT INTO outbox (kind, event_id, user_id, subject_id, shard, epoch, seq)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (shard, epoch, seq, subject_id, user_id) DO NOTHING;

-- outbox_after --
-- Rows behind one. Ids are given before rows are there, so that one of a lower id may come later:
-- by ten seconds at most, since no statement of who writes here may take longer.
SELECT id, kind, event_id, user_id, subject_id, written_at < now() - interval '10 s' AS is_settled
FROM outbox WHERE id > $1 ORDER BY id LIMIT $2;

-- outbox_settled --
-- The newest row before which none can come any more.
SELECT coalesce((SELECT id FROM outbox WHERE written_at < now() - interval '10 s'
                 ORDER BY id DESC LIMIT 1), 0);

-- insert_quarantine --
INSERT INTO quarantine (shard, epoch, seq, record, reason)
SELECT $1, $2, * FROM unnest($3::bigint[], $4::bytea[], $5::text[])
ON CONFLICT (shard, epoch, seq) DO NOTHING;

-- list_quarantine --
SELECT shard, epoch, seq, record, reason, state::text AS state, found_at, changed_at, changed_by,
       note
FROM quarantine
WHERE ($1::smallint IS NULL OR shard = $1) AND ($2 OR state = 'held')
ORDER BY shard, epoch, seq LIMIT $3;

-- lock_quarantine --
SELECT shard, epoch, seq, record, reason, state::text AS state, found_at, changed_at, changed_by,
       note
FROM quarantine WHERE shard = $1 AND epoch = $2 AND seq = $3 FOR UPDATE;

-- count_held --
-- Records of a shard that wait for a human.
SELECT count(*) FROM quarantine WHERE shard = $1 AND state = 'held';

-- resolve_quarantine --
UPDATE quarantine
SET state = $4::quarantine_state, changed_by = $5, note = $6, changed_at = now()
WHERE shard = $1 AND epoch = $2 AND seq = $3 AND state = 'held';

-- list_conflicts --
SELECT shard, epoch, seq, record, reason, found_at FROM conflicts
WHERE $1::smallint IS NULL OR shard = $1
ORDER BY shard, epoch, seq, id LIMIT $2;

-- lock_batch --
-- The archive's batch that has a record.
SELECT first_seq, last_seq, first_at, records FROM journal
WHERE shard = $1 AND epoch = $2 AND first_seq <= $3 AND last_seq >= $3
ORDER BY first_seq FOR UPDATE;

-- rewrite_batch --
-- A mended record takes the place of its mark; nothing else of the archive ever changes.
UPDATE journal SET records = $5
WHERE shard = $1 AND epoch = $2 AND first_seq = $3 AND first_at = $4;

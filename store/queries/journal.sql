-- journal_records --
-- The batches that hold some of these records.
SELECT first_seq, records FROM journal
WHERE shard = $1 AND epoch = $2 AND last_seq >= $3 AND first_seq <= $4
ORDER BY first_seq;

-- archive_after --
-- The batches of an epoch behind a record, in order; the first may hold records before it as well.
SELECT first_seq, last_seq, records FROM journal
WHERE shard = $1 AND epoch = $2 AND last_seq > $3 AND first_seq >= coalesce(
    (SELECT max(first_seq) FROM journal WHERE shard = $1 AND epoch = $2 AND first_seq <= $3), 0)
ORDER BY first_seq LIMIT $4;

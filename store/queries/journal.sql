-- journal_records --
-- The batches that hold some of these records.
SELECT first_seq, records FROM journal
WHERE shard = $1 AND epoch = $2 AND last_seq >= $3 AND first_seq <= $4
ORDER BY first_seq;

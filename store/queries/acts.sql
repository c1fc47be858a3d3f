-- insert_act --
INSERT INTO acts (actor, role, organizer_id, act, subject, outcome, intent_id, before, after, why,
                  origin, request_id)
VALUES ($1, $2, $3, $4, $5, $6::text::act_outcome, $7, $8::text::jsonb, $9::text::jsonb, $10, $11,
        $12)
RETURNING id;

-- insert_scan_acts --
-- Of records that stand in the journal; a record's place makes a replay change nothing. What a
-- record says is cut and never refused.
INSERT INTO acts (shard, epoch, actor, act, subject, after, origin, seq)
SELECT $1, $2, left(new.actor, 100), new.act, left(new.subject, 200), new.after::jsonb,
       left(new.origin, 100), new.seq
FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[])
    AS new (actor, act, subject, after, origin, seq)
ON CONFLICT (shard, epoch, seq) WHERE seq IS NOT NULL DO NOTHING;

-- acts_page --
-- Newest first, from before an id on; null stands for any actor, subject or act.
SELECT id, at, actor, role, organizer_id, act, subject, outcome::text AS outcome, intent_id,
       before::text AS before, after::text AS after, why, origin, request_id
FROM acts
WHERE id < $1 AND ($2::text IS NULL OR actor = $2) AND ($3::text IS NULL OR subject = $3)
  AND ($4::text IS NULL OR act = $4)
ORDER BY id DESC LIMIT $5;

-- acts_of_day --
SELECT id, (extract(epoch FROM at) * 1000000)::bigint AS at_us, actor, role, organizer_id, act,
       subject, outcome::text AS outcome, intent_id, before::text AS before, after::text AS after,
       why, origin, request_id, shard, epoch, seq
FROM acts WHERE day = $1 AND id > $2 ORDER BY id LIMIT $3;

-- lock_acts --
-- Waits until every act that has its time is committed; see `date_act`.
SELECT pg_advisory_xact_lock(1163282244);

-- days_to_seal --
-- Days that are over and have no hash yet, none left out, from the first that has acts.
SELECT day::date AS day
FROM generate_series(
    coalesce((SELECT max(day) + 1 FROM act_days), (SELECT min(day) FROM acts))::timestamp,
    ((clock_timestamp() AT TIME ZONE 'UTC')::date - 1)::timestamp, interval '1 day') AS day
ORDER BY day LIMIT $1;

-- hash_of_day --
SELECT hash FROM act_days WHERE day = $1;

-- insert_act_day --
INSERT INTO act_days (day, rows, before, hash) VALUES ($1, $2, $3, $4)
ON CONFLICT (day) DO NOTHING RETURNING day;

-- sealed_days --
SELECT day, rows, before, hash FROM act_days WHERE day > $1 ORDER BY day LIMIT $2;

-- acts_pruned_until --
-- The last day of which acts were deleted by age, as the act of that says; a day is text here.
SELECT max(after ->> 'last_day') FROM acts WHERE act = 'retention.acts' AND outcome = 'done';

-- unsealed_days --
-- Days that are over and have acts, and no hash.
SELECT DISTINCT day FROM acts
WHERE day < (clock_timestamp() AT TIME ZONE 'UTC')::date
  AND NOT EXISTS (SELECT FROM act_days WHERE act_days.day = acts.day)
ORDER BY day LIMIT $1;

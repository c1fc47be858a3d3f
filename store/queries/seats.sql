-- insert_sections --
INSERT INTO sections (event_id, section_no, tier_no, name, row_seats, kinds, rows)
SELECT $1, section_no, tier_no, name, row_seats, kinds, rows::jsonb
FROM unnest($2::smallint[], $3::smallint[], $4::text[], $5::text[], $6::text[], $7::text[])
    AS new (section_no, tier_no, name, row_seats, kinds, rows);

-- sections_of_events --
SELECT event_id, section_no, tier_no, name, row_seats, kinds, rows::text AS rows
FROM sections WHERE event_id = ANY ($1::text[]) ORDER BY event_id, section_no;

-- sections_by_number --
SELECT event_id, section_no, tier_no, name, row_seats, kinds, rows::text AS rows FROM sections
WHERE (event_id, section_no) IN (SELECT * FROM unnest($1::text[], $2::smallint[]));

-- section_tiers --
-- What the booking path needs to know: the tier of each section.
SELECT section_no, tier_no FROM sections WHERE event_id = $1 ORDER BY section_no;

-- end_tickets --
-- Give up the seats of tickets that went; before new ones are sold in the same batch.
UPDATE tickets SET is_live = false
FROM unnest($1::text[], $2::text[]) AS gone (event_id, id)
WHERE tickets.event_id = gone.event_id AND tickets.id = gone.id AND tickets.seat_id IS NOT NULL;

-- insert_blocked_seats --
INSERT INTO blocked_seats (event_id, seat_id, tier_no, blocked_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::smallint[], $4::timestamptz[])
ON CONFLICT (event_id, seat_id) DO NOTHING;

-- delete_blocked_seats --
DELETE FROM blocked_seats USING unnest($1::text[], $2::text[]) AS gone (event_id, seat_id)
WHERE blocked_seats.event_id = gone.event_id AND blocked_seats.seat_id = gone.seat_id;

-- audit_sections --
SELECT event_id, section_no, tier_no, row_seats, kinds
FROM sections WHERE event_id = ANY ($1::text[]) ORDER BY event_id, section_no;

-- audit_blocked_seats --
SELECT event_id, seat_id, tier_no FROM blocked_seats WHERE event_id = ANY ($1::text[]);

-- audit_shard_blocked_seats --
SELECT event_id, seat_id, tier_no FROM blocked_seats
WHERE event_id IN (SELECT id FROM events WHERE shard = $1);

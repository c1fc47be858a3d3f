-- insert_event --
INSERT INTO events (id, organizer_id, shard, name, description, category, venue, timezone,
                    currency, starts_at, ends_at, sale_opens_at, sale_closes_at, person_max,
                    waitlist_policy, waitlist_patience_ms, transfers, offer_ttl_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18);

-- insert_tiers --
INSERT INTO tiers (event_id, tier_no, id, name, price_minor, capacity, order_max, order_min,
                   person_max, sale_opens_at, sale_closes_at, is_hidden, sells_after_end)
SELECT $1, * FROM unnest($2::smallint[], $3::text[], $4::text[], $5::bigint[], $6::integer[],
                         $7::smallint[], $8::smallint[], $9::integer[], $10::timestamptz[],
                         $11::timestamptz[], $12::boolean[], $13::boolean[]);

-- event_by_id --
SELECT id, organizer_id, shard, status::text AS status, name, description, category, venue,
       timezone, currency, starts_at, ends_at, sale_opens_at, sale_closes_at, person_max, version,
       created_at, published_at, waitlist_policy::text AS waitlist_policy, waitlist_patience_ms,
       transfers, offer_ttl_ms, publishing_at
FROM events WHERE id = $1;

-- posters_of_events --
-- What tickets say of their events.
SELECT id, name, starts_at, timezone, venue FROM events WHERE id = ANY ($1::text[]);

-- tiers_of_events --
SELECT event_id, tier_no, id, name, price_minor, capacity, order_max, order_min, person_max,
       sale_opens_at, sale_closes_at, is_hidden, sells_after_end
FROM tiers WHERE event_id = ANY ($1::text[]) ORDER BY event_id, tier_no;

-- published_events --
-- One page of what the public may see once Redis has it, by start; $1 and $2 continue after an
-- event.
SELECT id, organizer_id, shard, status::text AS status, name, description, category, venue,
       timezone, currency, starts_at, ends_at, sale_opens_at, sale_closes_at, person_max, version,
       created_at, published_at, waitlist_policy::text AS waitlist_policy, waitlist_patience_ms,
       transfers, offer_ttl_ms, publishing_at
FROM events
WHERE (status <> 'draft' OR publishing_at IS NOT NULL) AND (starts_at, id) > ($1, $2)
  AND ($3::text IS NULL OR search_text(name) LIKE search_pattern($3))
  AND ($4::text IS NULL OR category = $4)
  AND ($5::timestamptz IS NULL OR starts_at >= $5)
  AND ($6::timestamptz IS NULL OR starts_at < $6)
ORDER BY starts_at, id LIMIT $7;

-- event_ids_between --
-- Events made in the same ms; more than a few never are.
SELECT id, shard FROM events WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT 10;

-- insert_promo --
INSERT INTO promos (event_id, code, uses_max, percent, amount_minor, tier_nos)
VALUES ($1, $2, $3, $4, $5, $6::smallint[]);

-- promos_of_event --
SELECT code, uses_max, percent, amount_minor, tier_nos FROM promos
WHERE event_id = $1 ORDER BY code;

-- insert_events --
INSERT INTO events (id, organizer_id, shard, name, description, category, venue, timezone,
                    currency, starts_at, ends_at, sale_opens_at, sale_closes_at, person_max,
                    waitlist_policy, waitlist_patience_ms, transfers, offer_ttl_ms, slug, summary,
                    image, image_alt, address, place, doors_at, access_notes, languages, source_id,
                    source_print, pools, pool_names)
SELECT id, organizer_id, shard, name, description, category, venue, timezone,
       currency, starts_at, ends_at, sale_opens_at, sale_closes_at, person_max,
       waitlist_policy::waitlist_policy, waitlist_patience_ms, transfers, offer_ttl_ms, slug,
       summary, image, image_alt, address, place, doors_at, access_notes, languages, source_id,
       source_print, pools, pool_names
FROM unnest($1::text[], $2::text[], $3::smallint[], $4::text[], $5::text[], $6::text[],
            $7::text[], $8::text[], $9::text[], $10::timestamptz[], $11::timestamptz[],
            $12::timestamptz[], $13::timestamptz[], $14::integer[], $15::text[], $16::bigint[],
            $17::text[], $18::bigint[], $19::text[], $20::text[], $21::text[], $22::text[],
            $23::text[], $24::text[], $25::timestamptz[], $26::text[], $27::text[], $28::text[],
            $29::text[], $30::text[], $31::text[])
    AS new (id, organizer_id, shard, name, description, category, venue, timezone,
            currency, starts_at, ends_at, sale_opens_at, sale_closes_at, person_max,
            waitlist_policy, waitlist_patience_ms, transfers, offer_ttl_ms, slug, summary,
            image, image_alt, address, place, doors_at, access_notes, languages, source_id,
            source_print, pools, pool_names);

-- insert_tiers --
INSERT INTO tiers (event_id, tier_no, id, name, price_minor, capacity, order_max, order_min,
                   person_max, sale_opens_at, sale_closes_at, is_hidden, sells_after_end)
SELECT * FROM unnest($1::text[], $2::smallint[], $3::text[], $4::text[], $5::bigint[],
                     $6::integer[], $7::smallint[], $8::smallint[], $9::integer[],
                     $10::timestamptz[], $11::timestamptz[], $12::boolean[], $13::boolean[]);

-- events_by_ids --
-- Of one organizer alone, if $2 names it.
SELECT id, organizer_id, shard, status::text AS status, name, description, category, venue,
       timezone, currency, starts_at, ends_at, sale_opens_at, sale_closes_at, person_max, version,
       created_at, published_at, waitlist_policy::text AS waitlist_policy, waitlist_patience_ms,
       transfers, offer_ttl_ms, publishing_at, slug, summary, image, image_alt, address, place,
       doors_at, access_notes, languages, source_id, source_print, pools, pool_names,
       postponed_from, withdrawn_at
FROM events WHERE id = ANY ($1::text[]) AND ($2::text IS NULL OR organizer_id = $2);

-- has_events --
SELECT EXISTS (SELECT FROM events);

-- delete_draft --
-- False if it is no draft of the organizer, or one whose publishing has begun.
SELECT delete_draft($2, $1);

-- posters_of_events --
-- What tickets say of their events.
SELECT id, name, starts_at, timezone, venue FROM events WHERE id = ANY ($1::text[]);

-- tiers_of_events --
SELECT event_id, tier_no, id, name, price_minor, capacity, order_max, order_min, person_max,
       sale_opens_at, sale_closes_at, is_hidden, sells_after_end
FROM tiers WHERE event_id = ANY ($1::text[]) ORDER BY event_id, tier_no;

-- event_ids_between --
-- Events made in the same ms; more than a few never are.
SELECT id, shard FROM events WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT 10;

-- insert_promo --
INSERT INTO promos (event_id, code, uses_max, percent, amount_minor, tier_nos)
VALUES ($1, $2, $3, $4, $5, $6::smallint[]);

-- promos_of_event --
SELECT code, uses_max, percent, amount_minor, tier_nos FROM promos
WHERE event_id = $1 ORDER BY code;

-- events_after --
-- One page of the list: what follows a place in it ($1, $2), and begins before $3.
SELECT event_id FROM event_search
WHERE (starts_at, event_id) > ($1, $2) AND over_at > now()
  AND ($3::timestamptz IS NULL OR starts_at < $3)
ORDER BY starts_at, event_id LIMIT $4;

-- events_of_seller --
-- The same of one organizer ($5) alone.
SELECT event_id FROM event_search JOIN events ON events.id = event_search.event_id
WHERE events.organizer_id = $5
  AND (event_search.starts_at, event_id) > ($1, $2) AND over_at > now()
  AND ($3::timestamptz IS NULL OR event_search.starts_at < $3)
ORDER BY event_search.starts_at, event_id LIMIT $4;

-- ends_of_parts --
-- Where the list is cut into parts of $1 events: the last of each that is full.
SELECT starts_at, event_id FROM (
    SELECT starts_at, event_id, row_number() OVER (ORDER BY starts_at, event_id) AS n
    FROM event_search WHERE over_at > now()
) AS numbered
WHERE n % $1 = 0 ORDER BY starts_at, event_id;

-- part_of_list --
-- What pages of a part of the list are named by.
SELECT event_id, events.slug, events.name
FROM event_search JOIN events ON events.id = event_search.event_id
WHERE (event_search.starts_at, event_id) > ($1, $2) AND over_at > now()
ORDER BY event_search.starts_at, event_id LIMIT $3;

-- events_near --
-- The same of those that match, among the next $8 of the list alone.
SELECT event_id FROM (
    SELECT event_id, starts_at, over_at, words FROM event_search
    WHERE (starts_at, event_id) > ($1, $2) AND ($3::timestamptz IS NULL OR starts_at < $3)
    ORDER BY starts_at, event_id LIMIT $8
) AS near
WHERE over_at > now() AND words @@ search_query($5, $6, $7)
ORDER BY starts_at, event_id LIMIT $4;

-- end_of_walk --
-- The place behind the next $4 of the list; none if there are not so many.
SELECT starts_at, event_id FROM event_search
WHERE (starts_at, event_id) > ($1, $2) AND ($3::timestamptz IS NULL OR starts_at < $3)
ORDER BY starts_at, event_id OFFSET $4 - 1 LIMIT 1;

-- events_far --
-- One page of those that match, behind a place in the list: by the index of words, then in order.
-- Of those alone that begin soon behind it, if $8.
WITH found AS MATERIALIZED (
    SELECT event_id, starts_at FROM event_search
    WHERE words @@ CASE WHEN $8 THEN search_query($5, $6, $7) && search_soon($1)
                        ELSE search_query($5, $6, $7) END
      AND (starts_at, event_id) > ($1, $2) AND over_at > now()
      AND ($3::timestamptz IS NULL OR starts_at < $3)
)
SELECT event_id FROM found ORDER BY starts_at, event_id LIMIT $4;

-- forget_over_events --
-- What is over is not listed; taken away, it is not walked through either.
DELETE FROM event_search WHERE event_id IN (
    SELECT event_id FROM event_search WHERE over_at < now() - interval '1 hour' LIMIT $1
);

-- mend_list --
SELECT last, mended FROM mend_event_search($1, $2);

-- events_of_source --
-- Of an organizer's events those that came from these ids of a source, or have them themselves.
SELECT CASE WHEN source_id = ANY ($2::text[]) THEN source_id ELSE id END AS source_id, id,
       source_print, status = 'draft' AND publishing_at IS NULL AS is_untouched, starts_at
FROM events WHERE organizer_id = $1 AND (source_id = ANY ($2::text[]) OR id = ANY ($2::text[]));

-- lock_import --
-- One import at a time writes events of an organizer.
SELECT pg_advisory_xact_lock(1163282298, hashtext($1));

-- note_source --
UPDATE events SET source_print = $2 WHERE id = $1 AND organizer_id = $3;

-- first_organizers --
SELECT id FROM organizers ORDER BY id LIMIT 3;

-- organizer_exists --
SELECT true FROM organizers WHERE id = $1;

-- exported_events --
-- Of an organizer's events the next, in the order of their ids.
SELECT id FROM events WHERE organizer_id = $1 AND id > $2 AND withdrawn_at IS NULL
ORDER BY id LIMIT $3;

-- A cancelled event may be taken off view: it is listed nowhere and has no page. Bookings of it,
-- and what the ledger knows of its sale, stay; so there is nothing that a check could miss.

ALTER TABLE events
    ADD COLUMN withdrawn_at timestamptz CHECK (withdrawn_at IS NULL OR status = 'cancelled');

CREATE OR REPLACE FUNCTION is_listed(event events) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (event.status <> 'draft' OR event.publishing_at IS NOT NULL)
    AND event.withdrawn_at IS NULL AND over_at(event) > now();

CREATE OR REPLACE FUNCTION mend_event_search(after text, count int, OUT last text, OUT mended int)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    ids text[];
    bad text[];
BEGIN
    SELECT array_agg(id), max(id) INTO ids, last FROM (
        SELECT id FROM events WHERE id > after ORDER BY id LIMIT count
    ) AS next;
    SELECT array_agg(id) INTO bad
    FROM events LEFT JOIN event_search ON event_id = id
    WHERE id = ANY (ids) AND CASE
        WHEN NOT is_listed(events) THEN
            event_id IS NOT NULL
            AND (status = 'draft' AND publishing_at IS NULL OR withdrawn_at IS NOT NULL)
        ELSE event_id IS NULL
            OR (event_search.starts_at, event_search.over_at, words)
               IS DISTINCT FROM (events.starts_at, over_at(events), search_vector(events))
        END;
    mended := coalesce(cardinality(bad), 0);
    IF mended > 0 THEN
        -- As they are now, whoever changes them meanwhile.
        PERFORM FROM events WHERE id = ANY (bad) FOR SHARE;
        DELETE FROM event_search WHERE event_id = ANY (bad);
        INSERT INTO event_search (event_id, starts_at, over_at, words)
        SELECT id, starts_at, over_at(events), search_vector(events)
        FROM events WHERE id = ANY (bad) AND is_listed(events);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION keep_event_search() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.status = 'draft' AND NEW.publishing_at IS NULL OR NEW.withdrawn_at IS NOT NULL THEN
        DELETE FROM event_search WHERE event_id = NEW.id;
    ELSE
        INSERT INTO event_search (event_id, starts_at, over_at, words)
        VALUES (NEW.id, NEW.starts_at, over_at(NEW), search_vector(NEW))
        ON CONFLICT (event_id) DO UPDATE
        SET starts_at = excluded.starts_at, over_at = excluded.over_at, words = excluded.words;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER events_found_when_withdrawn AFTER UPDATE ON events FOR EACH ROW
    WHEN (OLD.withdrawn_at IS DISTINCT FROM NEW.withdrawn_at)
    EXECUTE FUNCTION keep_event_search();

-- What events say of themselves beside their name, where they came from, and how they are found.

ALTER TABLE events
    ADD COLUMN slug         text NOT NULL DEFAULT '' CHECK (length(slug) <= 80),
    ADD COLUMN summary      text NOT NULL DEFAULT '' CHECK (length(summary) <= 300),
    ADD COLUMN image        text NOT NULL DEFAULT ''
        CHECK (image = '' OR (image ~ '^https?://' AND length(image) <= 2000)),
    ADD COLUMN image_alt    text NOT NULL DEFAULT '' CHECK (length(image_alt) <= 300),
    ADD COLUMN address      text NOT NULL DEFAULT '' CHECK (length(address) <= 500),
    ADD COLUMN place        text NOT NULL DEFAULT '' CHECK (length(place) <= 100),
    ADD COLUMN doors_at     timestamptz,
    ADD COLUMN access_notes text NOT NULL DEFAULT '' CHECK (length(access_notes) <= 2000),
    -- Tags of BCP 47 with blanks between.
    ADD COLUMN languages    text NOT NULL DEFAULT '',
    -- Of events that were imported: their id at the source, and a digest of what it said of them.
    ADD COLUMN source_id    text COLLATE "C" CHECK (length(source_id) BETWEEN 1 AND 300),
    ADD COLUMN source_print text NOT NULL DEFAULT '';
CREATE UNIQUE INDEX events_by_source ON events (organizer_id, source_id)
    WHERE source_id IS NOT NULL;

-- A draft that nobody has begun to publish can be taken away, and nothing else of `events`: whoever
-- may call this may not delete by themselves. It has the owner's rights, whom row security does not
-- stop: so it asks itself whose transaction this is. No device can be at its gates.
CREATE FUNCTION delete_draft(event_id text, organizer text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    draft text;
BEGIN
    SELECT id INTO draft FROM events
    WHERE id = event_id AND organizer_id = organizer
      AND organizer_id = current_setting('evently.organizer', true)
      AND status = 'draft' AND publishing_at IS NULL FOR UPDATE;
    IF draft IS NULL THEN
        RETURN false;
    END IF;
    DELETE FROM promos WHERE promos.event_id = draft;
    DELETE FROM sections WHERE sections.event_id = draft;
    DELETE FROM tiers WHERE tiers.event_id = draft;
    DELETE FROM events WHERE id = draft;
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION delete_draft FROM PUBLIC;

-- The words of a text, in order and as they are compared: without case, width, accents, and what
-- stands between words. A run of a script that leaves no blanks between words (Han, kana, Thai,
-- Lao, Burmese, Khmer, pictures) is one of them, with `~` in front.
CREATE FUNCTION search_parts(given text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN array_remove(string_to_array(regexp_replace(regexp_replace(
    translate(regexp_replace(search_text(given),
        '[\u00ad\u02bb\u02bc\u0640\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff]',
        '', 'g'), 'ς', 'σ'),
    '[\s\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b4\u00b6-\u00b9'
    '\u00bb-\u00bf\u00d7\u00f7\u055a-\u055f\u0589-\u058f\u05be\u05c0\u05c3\u05f3\u05f4'
    '\u0609-\u060d\u061b-\u061f\u066a-\u066d\u06d4\u0964\u0965\u0e4f\u0e5a\u0e5b\u104a-\u104f'
    '\u1361-\u1368\u17d4-\u17da\u2000-\u206f\u20a0-\u20cf\u2100-\u25ff\u27c0-\u2bff\u2e00-\u2e7f'
    '\u3000-\u3004\u3008-\u3020\u3030\u303d\u30fb\ufe10-\ufe6f]+', ' ', 'g'),
    '([\u0e01-\u0eff\u1000-\u1049\u1050-\u109f\u1780-\u17d3\u17db-\u17ff\u2e80-\u2fdf'
    '\u3005-\u3007\u3040-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff'
    '\u2600-\u27bf\U0001f000-\U0001faff\U00020000-\U0003ffff]+)', ' ~\1 ', 'g'), ' '), '');

-- What a text is found by: its words, and of each run every two neighbours and the last letter.
CREATE FUNCTION search_words(given text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    parts text[] := search_parts(given);
BEGIN
    IF position('~' IN array_to_string(parts, ' ')) = 0 THEN
        RETURN ARRAY(SELECT left(part, 100) FROM unnest(parts) AS part);
    END IF;
    RETURN ARRAY(
        SELECT left(part, 100) FROM unnest(parts) AS part WHERE part NOT LIKE '~%'
        UNION
        SELECT substr(part, place, 2)
        FROM unnest(parts) AS part, generate_series(2, length(part)) AS place
        WHERE part LIKE '~%'
    );
END $$;

-- What the whole of a category or place is found by; no word has a colon.
CREATE FUNCTION search_facet(kind text, given text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN kind || ':' || left(search_text(given), 100);

-- The days of an event, eight together, counted from 1970: by them the index of words finds those
-- alone that match and begin soon, instead of all that match.
CREATE FUNCTION search_days(at timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'd:' || floor(extract(epoch FROM at) / (8 * 86400))::bigint::text;

-- Events of the eight days that a moment lies in, and of the next eight.
CREATE FUNCTION search_soon(at timestamptz) RETURNS tsquery
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN format('%L | %L', search_days(at), search_days(at + interval '192 hours'))::tsquery;

-- What is searched for: all words of a text, the last one also as the beginning of a word if it has
-- three letters (of Hangul one syllable), a category, a place. Null: nothing can be found, as the
-- text has no word.
CREATE FUNCTION search_query(given text, category text, place text) RETURNS tsquery
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    parts text[] := search_parts(given);
    terms text[] := '{}';
    part  text;
    last  int := coalesce(cardinality(parts), 0);
BEGIN
    IF given IS NOT NULL AND last = 0 THEN
        RETURN NULL;
    END IF;
    FOR number IN 1 .. last LOOP
        part := left(parts[number], 100);
        IF part LIKE '~__%' THEN
            FOR place IN 2 .. length(part) - 1 LOOP
                terms := terms || ('''' || substr(part, place, 2) || '''');
            END LOOP;
        ELSIF part LIKE '~_' THEN
            terms := terms || ('''' || substr(part, 2) || ''':*');
        ELSIF number = last AND (length(part) >= 3 OR part ~ '^[\u1100-\u11ff]') THEN
            terms := terms || ('''' || part || ''':*');
        ELSE
            terms := terms || ('''' || part || '''');
        END IF;
    END LOOP;
    IF category IS NOT NULL THEN
        terms := terms || ('''' || replace(replace(
            search_facet('c', category), '\', '\\'), '''', '''''') || '''');
    END IF;
    IF place IS NOT NULL THEN
        terms := terms || ('''' || replace(replace(
            search_facet('p', place), '\', '\\'), '''', '''''') || '''');
    END IF;
    RETURN array_to_string(terms, ' & ')::tsquery;
END $$;

-- What an event is found by: its name, and what else of it stands in a list; and its days.
CREATE FUNCTION search_vector(event events) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN array_to_tsvector(
    search_words(concat_ws(' ', event.name, event.venue, event.category, event.place,
                           left(event.summary, 200), left(event.description, 200)))
    || CASE WHEN event.category = '' THEN '{}'::text[]
            ELSE ARRAY[search_facet('c', event.category)] END
    || CASE WHEN event.place = '' THEN '{}'::text[] ELSE ARRAY[search_facet('p', event.place)] END
    || ARRAY[search_days(event.starts_at)]
);

-- When an event is over: at its end, or a day after its start if nobody has told its end.
CREATE FUNCTION over_at(event events) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN event.ends_at > event.starts_at THEN event.ends_at
            ELSE event.starts_at + interval '24 hours' END;

-- What lists and searches read: the events that visitors may see, until they are over. Narrow, so
-- that a walk along it costs little; filled by the triggers below, whoever writes events. Order is
-- by start, never by weight: so there are no positions.
CREATE TABLE event_search (
    event_id  text COLLATE "C" PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE,
    starts_at timestamptz NOT NULL,
    over_at   timestamptz NOT NULL,
    words     tsvector    NOT NULL
);
CREATE UNIQUE INDEX event_search_by_start ON event_search (starts_at, event_id);
CREATE INDEX event_search_by_end ON event_search (over_at);
CREATE INDEX event_search_by_words ON event_search USING gin (words) WITH (fastupdate = off);

-- Whether an event is to be listed.
CREATE FUNCTION is_listed(event events) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
RETURN (event.status <> 'draft' OR event.publishing_at IS NOT NULL) AND over_at(event) > now();

-- Brings the list to what the next events by id are, as after a restore without triggers, or a hand
-- in it. Returns the last of them, null at the end, and how many were mended.
CREATE FUNCTION mend_event_search(after text, count int, OUT last text, OUT mended int)
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
            event_id IS NOT NULL AND status = 'draft' AND publishing_at IS NULL
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
REVOKE ALL ON FUNCTION mend_event_search FROM PUBLIC;

CREATE FUNCTION keep_event_search() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.status = 'draft' AND NEW.publishing_at IS NULL THEN
        DELETE FROM event_search WHERE event_id = NEW.id;
    ELSE
        INSERT INTO event_search (event_id, starts_at, over_at, words)
        VALUES (NEW.id, NEW.starts_at, over_at(NEW), search_vector(NEW))
        ON CONFLICT (event_id) DO UPDATE
        SET starts_at = excluded.starts_at, over_at = excluded.over_at, words = excluded.words;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER events_found_when_new AFTER INSERT ON events FOR EACH ROW
    WHEN (NEW.status <> 'draft' OR NEW.publishing_at IS NOT NULL)
    EXECUTE FUNCTION keep_event_search();
CREATE TRIGGER events_found_when_changed AFTER UPDATE ON events FOR EACH ROW
    WHEN ((OLD.name, OLD.venue, OLD.category, OLD.place, OLD.summary, OLD.description,
           OLD.starts_at, OLD.ends_at, OLD.status = 'draft' AND OLD.publishing_at IS NULL)
          IS DISTINCT FROM
          (NEW.name, NEW.venue, NEW.category, NEW.place, NEW.summary, NEW.description,
           NEW.starts_at, NEW.ends_at, NEW.status = 'draft' AND NEW.publishing_at IS NULL))
    EXECUTE FUNCTION keep_event_search();

-- What older code searches by stays, for processes of it that run beside; its index does not, which
-- was chosen by no plan.
DROP INDEX IF EXISTS events_by_name;

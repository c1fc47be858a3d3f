-- Who remembers events is told at once which have changed, by the change itself, whoever makes it.

-- One notice a statement, and equal ones of a transaction are one: up to a hundred ids with blanks
-- between, or none for "any". Drafts whose publishing has not begun are remembered by nobody: so an
-- import of fifty thousand of them says nothing.
CREATE FUNCTION tell_changed(ids text[]) RETURNS void LANGUAGE sql AS $$
    SELECT pg_notify('evently_events',
                     CASE WHEN cardinality(ids) > 100 THEN '' ELSE array_to_string(ids, ' ') END)
    WHERE cardinality(ids) > 0;
$$;

CREATE FUNCTION tell_changed_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_changed(ARRAY(
        SELECT id FROM changed WHERE status <> 'draft' OR publishing_at IS NOT NULL
        ORDER BY id LIMIT 101
    ));
    RETURN NULL;
END $$;

-- Of what belongs to events. With the owner's rights: whoever writes it may not read events.
CREATE FUNCTION tell_changed_parts() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM tell_changed(ARRAY(
        SELECT id FROM events
        WHERE id IN (SELECT event_id FROM changed)
          AND (status <> 'draft' OR publishing_at IS NOT NULL)
        ORDER BY id LIMIT 101
    ));
    RETURN NULL;
END $$;

CREATE TRIGGER events_told_new AFTER INSERT ON events REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_changed_events();
CREATE TRIGGER events_told_changed AFTER UPDATE ON events REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_changed_events();
CREATE TRIGGER events_told_gone AFTER DELETE ON events REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_changed_events();

CREATE TRIGGER tiers_told_new AFTER INSERT ON tiers REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_changed_parts();
CREATE TRIGGER tiers_told_changed AFTER UPDATE ON tiers REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_changed_parts();
CREATE TRIGGER tiers_told_gone AFTER DELETE ON tiers REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_changed_parts();

CREATE TRIGGER sections_told_new AFTER INSERT ON sections REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_changed_parts();
CREATE TRIGGER sections_told_changed AFTER UPDATE ON sections REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_changed_parts();
CREATE TRIGGER sections_told_gone AFTER DELETE ON sections REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_changed_parts();

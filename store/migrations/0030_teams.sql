-- Teams: who works for an organizer, as what, and at which of its events.

CREATE TYPE team_role AS ENUM (
    'owner',      -- all of it, the team as well
    'manager',    -- events, and the team's lower roles
    'box_office', -- what is done at the desk, and at the gate
    'gate'        -- lets people in
);

CREATE TABLE team_members (
    organizer_id text COLLATE "C" NOT NULL REFERENCES organizers (id),
    user_id      text COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role         team_role   NOT NULL,
    -- Null: all events of the organizer, those to come as well.
    event_ids    text[] COLLATE "C" CHECK (cardinality(event_ids) BETWEEN 1 AND 100),
    added_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organizer_id, user_id),
    CHECK (role <> 'owner' OR event_ids IS NULL)
);
CREATE INDEX team_members_by_user ON team_members (user_id);

-- An address that is asked to join, whoever has it; whose account has proved it may accept.
CREATE TABLE team_invitations (
    organizer_id text COLLATE "C" NOT NULL REFERENCES organizers (id),
    id           text COLLATE "C" NOT NULL UNIQUE CHECK (id ~ '^inv_[0-9a-v]{26}$'),
    email        text        NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    account_key  text        NOT NULL,
    role         team_role   NOT NULL,
    event_ids    text[] COLLATE "C" CHECK (cardinality(event_ids) BETWEEN 1 AND 100),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (organizer_id, account_key),
    CHECK (role <> 'owner' OR event_ids IS NULL)
);
CREATE INDEX team_invitations_by_key ON team_invitations (account_key);

-- Whoever is kept out: they cannot log in, and what they were is not looked at.
ALTER TABLE users
    ADD COLUMN disabled_at timestamptz,
    -- When its holder last proved that the address is theirs.
    ADD COLUMN IF NOT EXISTS email_verified_at timestamptz,
    -- Access tokens of an older one are over.
    ADD COLUMN IF NOT EXISTS token_version integer NOT NULL DEFAULT 0;

-- What accounts were until now: whoever was an organizer could do everything, staff let people in.
INSERT INTO team_members (organizer_id, user_id, role)
SELECT organizer_id, id, CASE role WHEN 'staff' THEN 'gate' ELSE 'owner' END::team_role
FROM users
WHERE organizer_id IS NOT NULL AND role <> 'user';

-- `users.role` and `organizer_id` follow the teams: the highest place that somebody has. An admin
-- stays one. Tokens say it, and code of the version before goes by it.
CREATE FUNCTION follow_team() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    whose text := CASE TG_OP WHEN 'DELETE' THEN OLD.user_id ELSE NEW.user_id END;
    top   team_members%ROWTYPE;
BEGIN
    SELECT * INTO top FROM team_members WHERE user_id = whose
    ORDER BY role, added_at, organizer_id LIMIT 1;
    UPDATE users
    SET organizer_id = top.organizer_id,
        role = CASE WHEN role = 'admin' THEN role
                    WHEN top.role IN ('owner', 'manager') THEN 'organizer'
                    WHEN top.role IS NOT NULL THEN 'staff'
                    ELSE 'user' END
    WHERE id = whose;
    RETURN NULL;
END $$;
CREATE TRIGGER team_members_followed AFTER INSERT OR UPDATE OR DELETE ON team_members
    FOR EACH ROW EXECUTE FUNCTION follow_team();

-- And the other way round, for who sets them: a hand, `evently admin`, code of the version before.
CREATE FUNCTION lead_team() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.role = 'user' THEN
        DELETE FROM team_members WHERE user_id = NEW.id;
    -- An admin joins no team by becoming one.
    ELSIF NEW.organizer_id IS NOT NULL
        AND (NEW.role <> 'admin' OR NEW.organizer_id IS DISTINCT FROM OLD.organizer_id) THEN
        INSERT INTO team_members (organizer_id, user_id, role)
        VALUES (NEW.organizer_id, NEW.id,
                CASE NEW.role WHEN 'staff' THEN 'gate' ELSE 'owner' END::team_role)
        ON CONFLICT (organizer_id, user_id) DO UPDATE SET role = excluded.role, event_ids = NULL;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER users_made_members AFTER INSERT ON users FOR EACH ROW
    WHEN (pg_trigger_depth() = 0 AND NEW.organizer_id IS NOT NULL)
    EXECUTE FUNCTION lead_team();
CREATE TRIGGER users_became_members AFTER UPDATE OF role, organizer_id ON users FOR EACH ROW
    WHEN (pg_trigger_depth() = 0
          AND (OLD.role, OLD.organizer_id) IS DISTINCT FROM (NEW.role, NEW.organizer_id))
    EXECUTE FUNCTION lead_team();

-- Every row that belongs to an organizer bears its id: row security goes by it (store/roles.py).
-- Filled by the database from the event, so that nobody can say another, and older code none.
ALTER TABLE tiers ADD COLUMN organizer_id text COLLATE "C";
ALTER TABLE sections ADD COLUMN organizer_id text COLLATE "C";
ALTER TABLE promos ADD COLUMN organizer_id text COLLATE "C";
UPDATE tiers SET organizer_id = events.organizer_id FROM events WHERE events.id = event_id;
UPDATE sections SET organizer_id = events.organizer_id FROM events WHERE events.id = event_id;
UPDATE promos SET organizer_id = events.organizer_id FROM events WHERE events.id = event_id;
ALTER TABLE tiers ALTER COLUMN organizer_id SET NOT NULL;
ALTER TABLE sections ALTER COLUMN organizer_id SET NOT NULL;
ALTER TABLE promos ALTER COLUMN organizer_id SET NOT NULL;

CREATE FUNCTION fill_organizer() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    NEW.organizer_id := (SELECT organizer_id FROM events WHERE id = NEW.event_id);
    RETURN NEW;
END $$;
CREATE TRIGGER tiers_organizer BEFORE INSERT ON tiers
    FOR EACH ROW EXECUTE FUNCTION fill_organizer();
CREATE TRIGGER sections_organizer BEFORE INSERT ON sections
    FOR EACH ROW EXECUTE FUNCTION fill_organizer();
CREATE TRIGGER promos_organizer BEFORE INSERT ON promos
    FOR EACH ROW EXECUTE FUNCTION fill_organizer();

-- Who has joined another team as well, and is not off the first, is made no less.
CREATE OR REPLACE FUNCTION raise_token_version() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.token_version = OLD.token_version AND (NEW.role < OLD.role OR NOT EXISTS (
        SELECT FROM team_members WHERE user_id = OLD.id AND organizer_id = OLD.organizer_id
    )) THEN
        NEW.token_version := OLD.token_version + 1;
    END IF;
    RETURN NEW;
END $$;

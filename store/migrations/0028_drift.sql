-- What the continuous check knows, so that an operator is told without reading logs.

-- Violations, since when they are known, and until when they were: kept for a while.
CREATE TABLE drift (
    shard      smallint    NOT NULL,
    identity   text        NOT NULL, -- tells one violation from another
    invariant  text        NOT NULL,
    code       text        NOT NULL,
    event_id   text COLLATE "C",
    booking_id text COLLATE "C",
    message    text        NOT NULL,
    seen_at    timestamptz NOT NULL DEFAULT now(),
    gone_at    timestamptz,
    PRIMARY KEY (shard, identity)
);

-- When each shard was last looked at, and when every event of it had last had its turn.
CREATE TABLE watches (
    shard     smallint    PRIMARY KEY,
    looked_at timestamptz NOT NULL DEFAULT now(),
    passed_at timestamptz
);

-- Accounts that were deleted: nothing of ours does, and their bookings stay. The check asks who of
-- them had any.
CREATE TABLE gone_users (
    id      text COLLATE "C" PRIMARY KEY,
    gone_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION note_gone_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO gone_users (id) SELECT id FROM users ON CONFLICT (id) DO NOTHING;
    ELSE
        INSERT INTO gone_users (id) VALUES (OLD.id) ON CONFLICT (id) DO NOTHING;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER users_gone AFTER DELETE OR UPDATE OF id ON users
    FOR EACH ROW EXECUTE FUNCTION note_gone_user();
CREATE TRIGGER users_emptied BEFORE TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION note_gone_user();

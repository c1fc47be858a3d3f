-- Acts: who of the staff did what. And accounts whose person asked to be forgotten.

CREATE TYPE act_outcome AS ENUM (
    'intended', -- noted before a script was asked; a row of another outcome names it
    'done',
    'refused',  -- the script, or a rule, said no: nothing was changed
    'unknown'   -- it failed midway, and the journal must be asked
);

-- Append-only: no role of ours may change or delete a row (store/roles.py), and the trigger below
-- keeps the owner from changing one. Ids of accounts, never names or addresses.
CREATE TABLE acts (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL, -- both filled by the database
    day          date        NOT NULL,
    actor        text COLLATE "C" NOT NULL CHECK (length(actor) BETWEEN 1 AND 100),
    role         text        NOT NULL DEFAULT '' CHECK (length(role) <= 40),
    organizer_id text COLLATE "C",     -- the actor's
    act          text COLLATE "C" NOT NULL CHECK (act ~ '^[a-z_]{1,40}(\.[a-z_]{1,40}){1,3}$'),
    subject      text COLLATE "C" NOT NULL CHECK (length(subject) <= 200),
    outcome      act_outcome NOT NULL DEFAULT 'done',
    intent_id    bigint,               -- of the row that was noted before
    before       jsonb       CHECK (octet_length(before::text) <= 65536),
    after        jsonb       CHECK (octet_length(after::text) <= 65536),
    why          text        NOT NULL DEFAULT '' CHECK (length(why) <= 1000),
    origin       text        NOT NULL DEFAULT '' CHECK (length(origin) <= 100), -- from where
    request_id   text        NOT NULL DEFAULT '' CHECK (length(request_id) <= 64),
    shard        smallint,             -- of the record that it is, where the ledger writer notes it
    epoch        bigint,
    seq          bigint
);
CREATE UNIQUE INDEX acts_by_record ON acts (shard, epoch, seq) WHERE seq IS NOT NULL;
CREATE INDEX acts_by_day ON acts (day, id);
CREATE INDEX acts_by_actor ON acts (actor, id);
CREATE INDEX acts_by_subject ON acts (subject, id);
CREATE INDEX acts_by_act ON acts (act, id);
CREATE INDEX acts_by_intent ON acts (intent_id) WHERE intent_id IS NOT NULL;

-- The hash of each day's rows and of the day before: what it takes to notice that one was changed.
CREATE TABLE act_days (
    day       date        PRIMARY KEY,
    rows      bigint      NOT NULL CHECK (rows >= 0),
    before    text        NOT NULL, -- the hash of the day before; empty for the first
    hash      text        NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$'),
    sealed_at timestamptz NOT NULL DEFAULT now()
);

-- An act has its time when this lock is held: whoever has it alone knows that all acts of the past
-- are committed, and may seal the day (`lock_acts`).
CREATE FUNCTION date_act() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1163282244);
    NEW.at := clock_timestamp();
    NEW.day := (NEW.at AT TIME ZONE 'UTC')::date;
    RETURN NEW;
END $$;
CREATE TRIGGER acts_dated BEFORE INSERT ON acts FOR EACH ROW EXECUTE FUNCTION date_act();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER acts_stay BEFORE UPDATE OR TRUNCATE ON acts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER act_days_stay BEFORE UPDATE OR TRUNCATE ON act_days
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Erased: nobody's any more. The row stays, under an id that leads to nobody, so that the ledger's
-- references hold; name, address and password are gone from it.
ALTER TABLE users
    ADD COLUMN IF NOT EXISTS token_version integer NOT NULL DEFAULT 0,
    ADD COLUMN erased_at timestamptz;

-- Whoever sets `erased_at`, by whatever way: an account of nobody is no admin's and on no team, and
-- its tokens are over. An address that it had proved is invited nowhere any more.
CREATE FUNCTION take_role() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.role := 'user';
    NEW.organizer_id := NULL;
    NEW.token_version := greatest(NEW.token_version, OLD.token_version + 1);
    RETURN NEW;
END $$;
CREATE TRIGGER users_erased BEFORE UPDATE OF erased_at ON users FOR EACH ROW
    WHEN (OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL)
    EXECUTE FUNCTION take_role();

CREATE FUNCTION leave_teams() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM team_members WHERE user_id = OLD.id;
    DELETE FROM team_invitations
    WHERE OLD.email_verified_at IS NOT NULL AND account_key = OLD.account_key;
    RETURN NULL;
END $$;
CREATE TRIGGER users_left AFTER UPDATE OF erased_at ON users FOR EACH ROW
    WHEN (OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL)
    EXECUTE FUNCTION leave_teams();

-- To find what accounts are told, and what goes to an address.
CREATE INDEX outbox_of_accounts ON outbox (user_id) WHERE shard IS NULL;
CREATE INDEX outbox_by_address ON outbox (lower(payload ->> 'to')) WHERE payload ? 'to';

-- Erasures, until what people wrote is gone from the ledger's texts as well (`evently retention`).
CREATE TABLE erasures (
    user_id  text COLLATE "C" PRIMARY KEY,
    asked_at timestamptz NOT NULL DEFAULT now(),
    done_at  timestamptz
);
CREATE INDEX erasures_open ON erasures (asked_at) WHERE done_at IS NULL;

-- The batches of the archive in which somebody wrote something beside an order. The statements that
-- look for them have the very same condition.
CREATE INDEX journal_details ON journal (shard, epoch, first_seq)
    WHERE strpos(records, '"detail":{"') > 0;

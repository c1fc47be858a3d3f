-- Webhooks: where an organizer wants to be told what happens to its events, and what of it.

CREATE TABLE webhook_endpoints (
    id            text COLLATE "C" PRIMARY KEY CHECK (id ~ '^whk_[0-9a-v]{26}$'),
    organizer_id  text COLLATE "C" NOT NULL REFERENCES organizers (id),
    url           text        NOT NULL CHECK (length(url) BETWEEN 1 AND 2000),
    kinds         text[] COLLATE "C" NOT NULL CHECK (cardinality(kinds) BETWEEN 1 AND 50),
    -- What signs, sealed (AES-256-GCM) with a setting that is not here; for a day the one before.
    sealed        bytea       NOT NULL,
    sealed_before bytea,
    before_until  timestamptz,
    made_by       text COLLATE "C" NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    disabled_at   timestamptz, -- null: it is told
    disabled_why  text        NOT NULL DEFAULT '' CHECK (disabled_why IN (
        '',
        'asked',   -- by who manages it
        'gone',    -- it answered 410
        'failing'  -- for three days nothing arrived
    )),
    failing_since timestamptz, -- null: the last one arrived
    warned        smallint    NOT NULL DEFAULT 0 CHECK (warned BETWEEN 0 AND 3), -- letters of that
    CHECK ((disabled_at IS NULL) = (disabled_why = '')),
    CHECK ((sealed_before IS NULL) = (before_until IS NULL))
);
CREATE INDEX webhook_endpoints_by_organizer ON webhook_endpoints (organizer_id, created_at, id);

-- When it was told first: `written_at` begins anew when it is sent again.
ALTER TABLE deliveries ADD COLUMN made_at timestamptz NOT NULL DEFAULT now();

-- What names a message to its receiver: the same at each attempt, and after a recovery.
CREATE FUNCTION webhook_message_id(fact text, target text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT 'msg_' || md5(fact || ' ' || target) $$;

CREATE INDEX deliveries_of_webhook ON deliveries (target, id) WHERE channel = 'webhook';
CREATE INDEX deliveries_by_message ON deliveries (webhook_message_id(fact, target))
    WHERE channel = 'webhook';

-- Whether an endpoint is of the organizer whose rows are there now.
CREATE FUNCTION is_own_webhook(endpoint text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM webhook_endpoints WHERE id = endpoint
                   AND organizer_id = current_setting('evently.organizer', true))
$$;

-- Tell an endpoint that it is told; returns the message's name.
-- With the owner's rights: organizers act in a role that sees no deliveries (store/roles.py).
CREATE FUNCTION ping_webhook(endpoint text) RETURNS text
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO deliveries (fact, channel, target, kind, lane, user_id, subject_id, domain)
    SELECT 'webhook.ping/' || endpoint || '//' || gen_random_uuid(), 'webhook', endpoint,
           'webhook.ping', 1, '', endpoint, endpoint
    WHERE is_own_webhook(endpoint)
    RETURNING webhook_message_id(fact, target)
$$;

-- Tell an endpoint one message again, whatever became of it, unless it is under way.
CREATE FUNCTION redeliver_webhook(endpoint text, message text) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE deliveries SET state = 'waiting', due_at = now(), written_at = now(), ended_at = NULL
    WHERE channel = 'webhook' AND target = endpoint AND is_own_webhook(endpoint)
      AND webhook_message_id(fact, target) = message AND state <> 'sending'
    RETURNING id
$$;

-- Tell an endpoint again what it was first told in a time, or what of that never arrived; null, and
-- nothing is told, if that is more than `most`.
CREATE FUNCTION redeliver_webhooks(
    endpoint text, begins timestamptz, ends timestamptz, only_failed boolean, most integer
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    own bigint[];
BEGIN
    IF NOT is_own_webhook(endpoint) THEN
        RETURN 0;
    END IF;
    SELECT array_agg(id) INTO own FROM (
        SELECT id FROM deliveries
        WHERE channel = 'webhook' AND target = endpoint AND made_at >= begins AND made_at < ends
          AND ended_at IS NOT NULL AND (state <> 'sent' OR NOT only_failed)
        ORDER BY id LIMIT most + 1 FOR UPDATE) AS found;
    IF cardinality(own) > most THEN
        RETURN NULL;
    END IF;
    UPDATE deliveries SET state = 'waiting', due_at = now(), written_at = now(), ended_at = NULL
    WHERE id = ANY (own);
    RETURN coalesce(cardinality(own), 0);
END $$;

REVOKE ALL ON FUNCTION is_own_webhook, ping_webhook, redeliver_webhook, redeliver_webhooks
    FROM PUBLIC;

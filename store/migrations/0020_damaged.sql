-- Events that had lost a key in Redis: which, when it was noticed, and when they were whole again.
CREATE TABLE damaged_events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard      smallint    NOT NULL,
    event_id   text COLLATE "C" NOT NULL,
    lost       text        NOT NULL, -- names of keys
    noticed_at timestamptz NOT NULL DEFAULT now(),
    rebuilt_at timestamptz
);
CREATE UNIQUE INDEX damaged_now ON damaged_events (event_id) WHERE rebuilt_at IS NULL;

-- muted_of --
SELECT topic, channel FROM muted_messages WHERE user_id = $1;

-- mute --
-- Of an account that is there.
INSERT INTO muted_messages (user_id, topic, channel)
SELECT users.id, new.topic, new.channel
FROM users, unnest($2::text[], $3::text[]) AS new (topic, channel)
WHERE users.id = $1 AND users.erased_at IS NULL
ON CONFLICT DO NOTHING;

-- unmute --
DELETE FROM muted_messages
WHERE user_id = $1 AND (topic, channel) IN (SELECT * FROM unnest($2::text[], $3::text[]));

-- muted_among --
SELECT user_id, topic, channel FROM muted_messages
WHERE (user_id, topic, channel) IN (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]));

-- change_timezone --
UPDATE users SET timezone = $2 WHERE id = $1 AND erased_at IS NULL;

-- timezone_of --
SELECT coalesce(timezone, '') FROM users WHERE id = $1 AND erased_at IS NULL;

-- unsubscribe_secret --
SELECT secret FROM unsubscribe_key;

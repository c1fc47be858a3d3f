-- When the publishing of a draft began. From then on its stock may be loaded, whatever `status` says, which
-- follows the journal; so what is loaded is no longer changed here, and who asks whether it is on sale asks
-- the script that sells.
ALTER TABLE events ADD COLUMN publishing_at timestamptz;

-- What visitors may see: events whose publishing has begun are looked at in Redis.
CREATE INDEX events_shown_by_start ON events (starts_at, id)
    WHERE status <> 'draft' OR publishing_at IS NOT NULL;
DROP INDEX events_by_start;

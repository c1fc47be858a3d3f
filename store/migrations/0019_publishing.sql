-- When the publishing of a draft began. From then on its stock may be loaded, whatever `status`
-- says, which follows the journal: what is loaded is no longer changed here, and whether it is on
-- sale is asked of the script that sells.
ALTER TABLE events ADD COLUMN publishing_at timestamptz;

-- What visitors may see: of events whose publishing has begun Redis tells.
CREATE INDEX events_shown_by_start ON events (starts_at, id)
    WHERE status <> 'draft' OR publishing_at IS NOT NULL;
DROP INDEX events_by_start;

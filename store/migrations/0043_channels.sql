-- Channels beside mail: push to devices, webhooks of organizers, messages in the account.

ALTER TABLE deliveries DROP CONSTRAINT deliveries_channel_check;
ALTER TABLE deliveries ADD CONSTRAINT deliveries_channel_check
    CHECK (channel IN ('mail', 'push', 'webhook', 'account'));

-- Each channel has workers of its own, which look for theirs.
CREATE INDEX deliveries_due_by_channel ON deliveries (channel, lane, due_at, id) INCLUDE (domain)
    WHERE state IN ('waiting', 'sending', 'delayed', 'unknown');
DROP INDEX deliveries_due;

-- What lets Redis be rebuilt from PostgreSQL without reading every record and every ticket.

-- The few batches of the journal that say something of an event's sale. `audit_sale_changes` has
-- the very same condition.
CREATE INDEX journal_sales ON journal (shard, epoch, first_seq)
    WHERE strpos(records, '"kind":"published"') > 0
       OR strpos(records, '"kind":"capacity_set"') > 0
       OR strpos(records, '"kind":"closed"') > 0
       OR strpos(records, '"kind":"reopened"') > 0
       OR strpos(records, '"kind":"event_cancelled"') > 0;

-- Tickets that were ever checked in or given away.
CREATE INDEX tickets_changed ON tickets (event_id) WHERE seq IS NOT NULL;

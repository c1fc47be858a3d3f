-- Events that are changed while they are on sale.

-- Batches that say something of an event's sale, by the very condition of `audit_sale_changes`;
-- older code, whose condition lacks `amended`, is served by it as well.
CREATE INDEX journal_sale_changes ON journal (shard, epoch, first_seq)
    WHERE strpos(records, '"kind":"published"') > 0
       OR strpos(records, '"kind":"capacity_set"') > 0
       OR strpos(records, '"kind":"closed"') > 0
       OR strpos(records, '"kind":"reopened"') > 0
       OR strpos(records, '"kind":"amended"') > 0
       OR strpos(records, '"kind":"event_cancelled"') > 0;
DROP INDEX IF EXISTS journal_sales;

-- A promo code that was stopped may be used no more.
ALTER TABLE promos
    DROP CONSTRAINT promos_uses_max_check,
    ADD CONSTRAINT promos_uses_max_check CHECK (uses_max >= 0);

-- When an event was to start, as it was published; null: it starts then.
ALTER TABLE events ADD COLUMN postponed_from timestamptz;

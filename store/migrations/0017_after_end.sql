-- A tier may be sold although the event is over: recordings, vouchers. All others are not.
ALTER TABLE tiers ADD COLUMN sells_after_end boolean NOT NULL DEFAULT false;

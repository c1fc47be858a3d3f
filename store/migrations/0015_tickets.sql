-- Whose a ticket is that was given away, and who is told of it.

-- A rule of the event, which its publishing fixes (`engine.records.Rules`).
ALTER TABLE events ADD COLUMN transfers text NOT NULL DEFAULT 'holder'
    CHECK (transfers IN (
        'holder', -- who has it; its buyer cannot cancel it
        'buyer',  -- who bought it, and may still cancel it
        'none'    -- it cannot be given away
    ));

-- One record may be told to two people: who gives a ticket, and who gets it.
ALTER TABLE outbox DROP CONSTRAINT outbox_shard_epoch_seq_subject_id_key;
ALTER TABLE outbox ADD UNIQUE (shard, epoch, seq, subject_id, user_id);

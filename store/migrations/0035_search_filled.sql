-- The events that were there before the triggers, in small transactions: nobody waits for them.
-- no-transaction
DO $$
DECLARE
    id text := '';
BEGIN
    WHILE id IS NOT NULL LOOP
        id := (mend_event_search(id, 1000)).last;
        COMMIT;
    END LOOP;
END $$;

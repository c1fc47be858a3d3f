-- put_gift --
-- A ticket that is offered once more is offered to whom it was offered last.
INSERT INTO gifts (
    id, event_id, booking_id, number, giver_id, email, address_key, expires_at
)
VALUES ($1, $2, $3, $4, $5, $6, account_key($6::text), $7)
ON CONFLICT (booking_id, number) DO UPDATE
SET id = excluded.id, giver_id = excluded.giver_id, email = excluded.email,
    address_key = excluded.address_key, made_at = now(), expires_at = excluded.expires_at,
    taken_by = NULL
WHERE gifts.taken_by IS NOT NULL OR gifts.giver_id <> excluded.giver_id
   OR gifts.address_key <> excluded.address_key
RETURNING id;

-- gift_of_ticket --
SELECT gifts.id, gifts.event_id, gifts.booking_id, gifts.number, gifts.giver_id, gifts.email,
       gifts.made_at, gifts.expires_at, gifts.taken_by, NULL::text AS giver_name
FROM gifts WHERE booking_id = $1 AND number = $2;

-- gifts_of --
-- That one gave, and that wait for an address which one has proved; the latest first.
SELECT gifts.id, gifts.event_id, gifts.booking_id, gifts.number, gifts.giver_id, gifts.email,
       gifts.made_at, gifts.expires_at, gifts.taken_by, giver.name AS giver_name
FROM gifts LEFT JOIN users AS giver ON giver.id = gifts.giver_id
WHERE (gifts.giver_id = $1 OR gifts.address_key = (
           SELECT account_key FROM users WHERE id = $1 AND email_verified_at IS NOT NULL
       ))
  AND gifts.taken_by IS NULL AND gifts.expires_at > now()
  AND (gifts.made_at, gifts.id) < ($2, $3)
ORDER BY gifts.made_at DESC, gifts.id DESC
LIMIT $4;

-- gift_seen --
-- One that waits, for who made it and for who has proved its address.
SELECT gifts.id, gifts.event_id, gifts.booking_id, gifts.number, gifts.giver_id, gifts.email,
       gifts.made_at, gifts.expires_at, gifts.taken_by, giver.name AS giver_name
FROM gifts LEFT JOIN users AS giver ON giver.id = gifts.giver_id
WHERE gifts.id = $1 AND gifts.taken_by IS NULL AND gifts.expires_at > now()
  AND (gifts.giver_id = $2 OR gifts.address_key = (
           SELECT account_key FROM users WHERE id = $2 AND email_verified_at IS NOT NULL
       ));

-- gift_for --
-- One that waits for an address which the person has proved, or that they have taken.
SELECT gifts.id, gifts.event_id, gifts.booking_id, gifts.number, gifts.giver_id, gifts.email,
       gifts.made_at, gifts.expires_at, gifts.taken_by, NULL::text AS giver_name
FROM gifts
WHERE gifts.id = $1 AND (
    gifts.taken_by = $2
    OR (gifts.taken_by IS NULL AND gifts.expires_at > now() AND gifts.address_key = (
        SELECT account_key FROM users WHERE id = $2 AND email_verified_at IS NOT NULL
    ))
);

-- take_gift --
UPDATE gifts SET taken_by = $2 WHERE id = $1;

-- end_gift --
-- By who gave it, or by whom it waits for.
DELETE FROM gifts
WHERE id = $1 AND taken_by IS NULL AND (
    giver_id = $2
    OR address_key = (SELECT account_key FROM users WHERE id = $2 AND email_verified_at IS NOT NULL)
)
RETURNING id;

-- tidy_gifts --
DELETE FROM gifts
WHERE id IN (SELECT id FROM gifts WHERE expires_at < now() ORDER BY expires_at LIMIT $1);

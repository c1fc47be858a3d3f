-- Accounts from before: of those that are one address now, the oldest has its key; each of the
-- others keeps a key of its own, and is found by its address as it was typed.

UPDATE users
SET account_key = keyed.key || CASE keyed.number WHEN 1 THEN '' ELSE '#' || users.id END
FROM (
    SELECT id, account_key(email) AS key,
           row_number() OVER (PARTITION BY account_key(email) ORDER BY created_at, id) AS number
    FROM users
) AS keyed
WHERE users.id = keyed.id AND (users.account_key IS NULL OR keyed.number > 1);

CREATE UNIQUE INDEX users_account_key ON users (account_key);

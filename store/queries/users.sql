-- insert_user --
-- No row comes back if the address is taken, in any form that is one account.
INSERT INTO users (id, email, name, password_hash, role, organizer_id)
VALUES ($1, $2, $3, $4, $5::text::user_role, $6)
ON CONFLICT DO NOTHING
RETURNING id;

-- user_by_email --
SELECT id, email, name, password_hash, role::text AS role, organizer_id, created_at,
       disabled_at
FROM users
WHERE account_key = ANY (SELECT account_key(form) FROM unnest($1::text[]) AS given (form))
   OR lower(email) = ANY (SELECT lower(form) FROM unnest($1::text[]) AS given (form))
-- Older code could make two accounts of what is one address now: each is found as it was typed.
ORDER BY email = ($1::text[])[cardinality($1::text[])] DESC,
         lower(email) = ANY (SELECT lower(form) FROM unnest($1::text[]) AS given (form)) DESC,
         created_at, id
LIMIT 1;

-- user_by_id --
SELECT id, email, name, password_hash, role::text AS role, organizer_id, created_at,
       disabled_at
FROM users WHERE id = $1;

-- admin_exists --
SELECT EXISTS (SELECT 1 FROM users WHERE role = 'admin');

-- set_admin_password --
-- Of an admin alone, rather of the account that is written so to the letter.
UPDATE users SET password_hash = $2
WHERE id = (
    SELECT id FROM users
    WHERE role = 'admin'
      AND (account_key = ANY (SELECT account_key(form) FROM unnest($1::text[]) AS given (form))
           OR lower(email) = ANY (SELECT lower(form) FROM unnest($1::text[]) AS given (form)))
    ORDER BY email = ($1::text[])[cardinality($1::text[])] DESC, created_at, id
    LIMIT 1
)
RETURNING id;

-- insert_organizer --
INSERT INTO organizers (id, name) VALUES ($1, $2);

-- insert_users --
-- Many at once, for seeding; addresses that are taken are left as they are.
INSERT INTO users (id, email, name, password_hash)
SELECT id, email, name, $4 FROM unnest($1::text[], $2::text[], $3::text[]) AS new (id, email, name)
ON CONFLICT DO NOTHING;

-- users_by_emails --
SELECT id, email FROM users WHERE lower(email) = ANY ($1::text[]);

-- names_of_users --
SELECT id, email, name FROM users WHERE id = ANY ($1::text[]);

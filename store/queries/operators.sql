-- accounts_found --
-- One page by id; $3 is searched for in addresses and names, or is an id.
SELECT id, email, name, role::text AS role, organizer_id, created_at, disabled_at,
       email_verified_at
FROM users
WHERE id > $1 AND erased_at IS NULL
  AND ($3::text IS NULL OR id = $3 OR account_key LIKE search_pattern($3)
       OR search_text(name) LIKE search_pattern($3))
  AND ($4::text IS NULL OR role = $4::text::user_role)
ORDER BY id LIMIT $2;

-- account_by_id --
SELECT id, email, name, role::text AS role, organizer_id, created_at, disabled_at,
       email_verified_at
FROM users WHERE id = $1 AND erased_at IS NULL;

-- account_of_address --
SELECT id FROM users
WHERE account_key = ANY (SELECT account_key(form) FROM unnest($1::text[]) AS given (form))
   OR lower(email) = ANY (SELECT lower(form) FROM unnest($1::text[]) AS given (form))
ORDER BY is_claim, email = ($1::text[])[cardinality($1::text[])] DESC, created_at, id
LIMIT 1;

-- memberships_of --
SELECT organizer_id, role::text AS role, event_ids FROM team_members WHERE user_id = $1
ORDER BY organizer_id LIMIT 200;

-- lock_roles --
-- One change of accounts' roles at a time, so that the last admin stays, and each last owner.
SELECT pg_advisory_xact_lock(1163282298, 0);

-- other_admins --
SELECT count(*) FROM users WHERE role = 'admin' AND disabled_at IS NULL AND id <> $1;

-- teams_without --
-- Organizers that would have no owner without this account.
SELECT organizer_id FROM team_members AS own
WHERE own.user_id = $1 AND own.role = 'owner' AND ($2::text IS NULL OR own.organizer_id = $2)
  AND NOT EXISTS (
    SELECT FROM team_members AS other
    WHERE other.organizer_id = own.organizer_id AND other.role = 'owner'
      AND other.user_id <> own.user_id)
ORDER BY organizer_id;

-- lock_teams_of --
-- No change of these teams meanwhile, by whoever else may change them.
SELECT id FROM organizers
WHERE id = $2 OR id IN (SELECT organizer_id FROM team_members WHERE user_id = $1)
ORDER BY id FOR UPDATE;

-- set_role --
-- The teams follow, by a trigger: `user` leaves all, the others join the organizer named.
UPDATE users
SET role = $2::text::user_role,
    organizer_id = CASE $2 WHEN 'user' THEN NULL ELSE coalesce($3, organizer_id) END
WHERE id = $1;

-- set_disabled --
-- Tokens that are out are over.
UPDATE users
SET disabled_at = CASE WHEN $2::boolean THEN coalesce(disabled_at, now()) END,
    token_version = token_version + CASE WHEN $2::boolean AND disabled_at IS NULL THEN 1 ELSE 0 END
WHERE id = $1;

-- organizers_found --
SELECT id, name, created_at FROM organizers
WHERE id > $1 AND ($3::text IS NULL OR id = $3 OR search_text(name) LIKE search_pattern($3))
ORDER BY id LIMIT $2;

-- insert_account --
INSERT INTO users (id, email, name, password_hash, email_verified_at)
VALUES ($1, $2, $3, $4, now());

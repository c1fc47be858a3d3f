-- assume --
-- Until the transaction's end: a role, if it is there and ours to take, and whose rows are there.
SELECT set_config('evently.organizer', $2, true),
       (SELECT set_config('role', rolname, true) FROM pg_roles
        WHERE rolname = $1 AND pg_has_role(current_user, oid, 'MEMBER'));

-- resume --
-- The role that was logged in by again, within the same transaction.
SELECT set_config('role', 'none', true);

-- standing_of --
-- What an account is at this moment: a row for each team it is on, or one without.
SELECT account.role::text AS account_role, account.disabled_at IS NOT NULL AS is_disabled,
       member.organizer_id, member.role::text AS role, member.event_ids
FROM users AS account LEFT JOIN team_members AS member ON member.user_id = account.id
WHERE account.id = $1
ORDER BY member.role, member.added_at, member.organizer_id
LIMIT 200;

-- events_of_organizer --
-- One page, newest first; of some events alone, if $4 names them, or of one state, if $5 does.
SELECT id FROM events
WHERE organizer_id = $1 AND ($2 = '' OR id < $2) AND withdrawn_at IS NULL
  AND ($4::text[] IS NULL OR id = ANY ($4)) AND ($5::text IS NULL OR status::text = $5)
ORDER BY id DESC LIMIT $3;

-- organizers_of --
SELECT organizer.id, organizer.name, organizer.created_at, member.role::text AS role,
       member.event_ids
FROM team_members AS member JOIN organizers AS organizer ON organizer.id = member.organizer_id
WHERE member.user_id = $1
ORDER BY organizer.id LIMIT 200;

-- organizer_by_id --
SELECT id, name, created_at FROM organizers WHERE id = $1;

-- lock_team --
-- One change of a team at a time, so that its last owner stays.
SELECT id, name, created_at FROM organizers WHERE id = $1 FOR UPDATE;

-- rename_organizer --
UPDATE organizers SET name = $2 WHERE id = $1;

-- team_member --
SELECT user_id, role::text AS role, event_ids, added_at FROM team_members
WHERE organizer_id = $1 AND user_id = $2;

-- team_page --
-- The longest there first; $2 and $3 continue after a member.
SELECT user_id, role::text AS role, event_ids, added_at FROM team_members
WHERE organizer_id = $1 AND (added_at, user_id) > ($2, $3)
ORDER BY added_at, user_id LIMIT $4;

-- team_size --
SELECT count(*) AS members, count(*) FILTER (WHERE role = 'owner') AS owners
FROM team_members WHERE organizer_id = $1;

-- set_team_member --
INSERT INTO team_members (organizer_id, user_id, role, event_ids)
VALUES ($1, $2, $3::text::team_role, $4::text[])
ON CONFLICT (organizer_id, user_id) DO UPDATE
SET role = excluded.role, event_ids = excluded.event_ids
RETURNING user_id, role::text AS role, event_ids, added_at;

-- delete_team_member --
DELETE FROM team_members WHERE organizer_id = $1 AND user_id = $2;

-- events_not_of_organizer --
SELECT id FROM unnest($2::text[]) WITH ORDINALITY AS named (id, place)
WHERE NOT EXISTS (SELECT FROM events WHERE events.id = named.id AND organizer_id = $1)
ORDER BY place;

-- invite --
-- One invitation for an address, in whatever form: the last counts.
INSERT INTO team_invitations (organizer_id, id, email, account_key, role, event_ids, expires_at)
VALUES ($1, $2, $3, account_key($3), $4::text::team_role, $5::text[],
        now() + make_interval(secs => $6))
ON CONFLICT (organizer_id, account_key) DO UPDATE
SET id = excluded.id, email = excluded.email, role = excluded.role,
    event_ids = excluded.event_ids, created_at = now(), expires_at = excluded.expires_at
RETURNING organizer_id, id, email, role::text AS role, event_ids, created_at, expires_at;

-- delete_expired_invitations --
DELETE FROM team_invitations WHERE organizer_id = $1 AND expires_at <= now();

-- invitations_count --
SELECT count(*) FROM team_invitations WHERE organizer_id = $1;

-- invitations_of_organizer --
-- One page, newest first.
SELECT organizer_id, id, email, role::text AS role, event_ids, created_at, expires_at
FROM team_invitations
WHERE organizer_id = $1 AND (created_at, id) < ($2, $3) AND expires_at > now()
ORDER BY created_at DESC, id DESC LIMIT $4;

-- delete_invitation --
DELETE FROM team_invitations WHERE organizer_id = $1 AND id = $2 RETURNING role::text AS role;

-- invitations_to --
-- Those to an account's address, once its holder has proved that it is theirs.
SELECT invited.organizer_id, invited.id, invited.email, invited.role::text AS role,
       invited.event_ids, invited.created_at, invited.expires_at, organizer.name AS organizer_name
FROM users AS account
JOIN team_invitations AS invited ON invited.account_key = account.account_key
JOIN organizers AS organizer ON organizer.id = invited.organizer_id
WHERE account.id = $1 AND account.email_verified_at IS NOT NULL AND account.disabled_at IS NULL
  AND invited.expires_at > now() AND ($2::text IS NULL OR invited.id = $2)
ORDER BY invited.id DESC LIMIT 200;

-- take_invitation --
DELETE FROM team_invitations
WHERE organizer_id = $1 AND id = $2 AND expires_at > now()
RETURNING role::text AS role, event_ids;

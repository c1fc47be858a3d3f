"""
Roles of PostgreSQL: who of us may do what, given anew by every migration.

One role for each part of the service and one for people who only look; the owner, who makes tables,
is nobody's but the migration's. Rights are given to what is there, whichever file made it, so that
a new table is read by all who may read, and written by none until it is named here.

Two roles nobody logs in as: `organizer`, in which the rows of one organizer alone are there (row
security, `store.tenants`), and `operator`, which changes what accounts may do. The API's role may
take them on for a transaction, and has none of their rights before.
"""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

ROLES = ("api", "persister", "sweeper", "coordinator", "notifier", "reader")
#: Taken on for a transaction: by `api`, and by the owner.
ASSUMED = ("organizer", "operator")
#: Tables whose rows belong to an organizer each, and the column that says to which.
TENANT_TABLES: Mapping[str, str] = {
    "organizers": "id",
    "team_members": "organizer_id",
    "team_invitations": "organizer_id",
    "events": "organizer_id",
    "tiers": "organizer_id",
    "sections": "organizer_id",
    "promos": "organizer_id",
    # An organizer's transaction has no right to these at all; the day it has, it sees its own.
    "api_keys": "organizer_id",
    "devices": "organizer_id",
    "order_notes": "organizer_id",
    "webhook_endpoints": "organizer_id",
}
#: For whom all rows of those are there: who sells, keeps the books, or looks after accounts.
_SEE_ALL = (*ROLES, "operator")
#: Rights by role, after all were taken; `reign` is what whoever sees a fault may note of it.
_REIGN = "UPDATE (seen_seq, state, lease_until, reason, changed_at) ON shard_epoch"
#: To note an act, and to know the note by its number.
_NOTE = "INSERT, SELECT (id) ON acts"
_GRANTS = {
    "api": (
        "SELECT ON ALL TABLES IN SCHEMA public",
        "INSERT ON users, redo, acts, act_days, erasures",
        # Of the version before, which knows no role `organizer`; to be taken with the next.
        "INSERT ON events, tiers, sections, promos",
        "UPDATE ON events, tiers",
        # Neither role nor organizer: what an erasure takes of those, its trigger does.
        "UPDATE (name, language, timezone, email, email_verified_at, is_claim, password_hash,"
        " token_version, has_password, erased_at) ON users",
        "INSERT, UPDATE, DELETE ON sessions, account_tokens, gifts",
        "INSERT, DELETE ON identities, passkeys, spent_flows",
        "INSERT, UPDATE, DELETE ON push_subscriptions",
        "INSERT, UPDATE, DELETE ON idempotency_keys",
        "EXECUTE ON FUNCTION use_key",
        "UPDATE ON spent_flows",  # To lock what is cleared away.
        "UPDATE (used_at) ON identities",
        "UPDATE (sign_count, is_synced, used_at, name) ON passkeys",
        "INSERT ON outbox",
        "UPDATE (payload, secret_until) ON outbox",
        # What an erasure takes.
        "UPDATE (target, state, ended_at) ON deliveries",
        "UPDATE (seen_at) ON deliveries",
        "INSERT, DELETE ON muted_messages, sale_reminders",
        "DELETE ON suppressions",
        "DELETE ON revocations",
        "INSERT, UPDATE ON signing_keys",
        # Keys and devices are made in their organizer's role; here they are used, enrolled, erased.
        "UPDATE (last_used_at, revoked_at, hash) ON api_keys",
        "UPDATE (code_hash, prefix, hash, enrolled_at, last_used_at) ON devices",
        "UPDATE (text) ON order_notes",  # To be erased.
        "INSERT, UPDATE, DELETE ON buckets, familiar_origins",
        _REIGN,
    ),
    "organizer": (
        "SELECT ON organizers, team_members, team_invitations, events, tiers, sections, promos",
        "INSERT ON events, tiers, sections, promos",
        "INSERT, UPDATE, DELETE ON team_members, team_invitations",
        "UPDATE (name) ON organizers",
        "UPDATE (name, description, category, venue, slug, summary, image, image_alt, address,"
        " place, access_notes, languages, timezone, starts_at, ends_at, doors_at, sale_opens_at,"
        " sale_closes_at, publishing_at, version, source_print, postponed_from, person_max,"
        " offer_ttl_ms, pools, source_id, withdrawn_at) ON events",
        "UPDATE (capacity, price_minor, order_max, order_min, person_max, sale_opens_at,"
        " sale_closes_at) ON tiers",
        "UPDATE (uses_max) ON promos",
        "EXECUTE ON FUNCTION delete_draft, use_key",
        "INSERT ON outbox",
        "SELECT (id, organizer_id, made_by, name, scopes, prefix, created_at, expires_at,"
        " last_used_at, revoked_at), INSERT, UPDATE (revoked_at) ON api_keys",
        "SELECT (id, event_id, organizer_id, gate, made_by, prefix, created_at, code_expires_at,"
        " enrolled_at, last_used_at, revoked_at),"
        " INSERT, UPDATE (revoked_at, code_hash) ON devices",
        "SELECT, INSERT ON order_notes",
        "SELECT, DELETE ON webhook_endpoints",
        "INSERT (id, organizer_id, url, kinds, sealed, made_by) ON webhook_endpoints",
        "UPDATE (url, kinds, sealed, sealed_before, before_until, disabled_at, disabled_why,"
        " failing_since, warned) ON webhook_endpoints",
        "EXECUTE ON FUNCTION ping_webhook, redeliver_webhook, redeliver_webhooks",
        _NOTE,
    ),
    "operator": (
        "SELECT (id, email, name, role, organizer_id, created_at, account_key, disabled_at,"
        " email_verified_at, token_version, is_claim, erased_at) ON users",
        "INSERT ON users, organizers",
        "UPDATE (role, organizer_id, disabled_at, token_version, password_hash,"
        " email_verified_at) ON users",
        "SELECT (id, user_id), DELETE ON sessions",
        "SELECT ON organizers, team_members",
        "UPDATE (name) ON organizers",
        "INSERT, UPDATE, DELETE ON team_members",
        "EXECUTE ON FUNCTION use_key",
        _NOTE,
    ),
    "persister": (
        "SELECT ON ALL TABLES IN SCHEMA public",
        "INSERT, UPDATE ON bookings, items, tickets, scans, waitlist_entries, blocked_seats",
        "DELETE ON items, blocked_seats",
        "INSERT, UPDATE ON shard_checkpoint",
        "INSERT ON journal, quarantine, conflicts, damaged_events, acts, tiers, promos",
        "UPDATE ON events, tiers, promos",
        "UPDATE (state, reason, changed_at) ON shard_epoch",
    ),
    "sweeper": (
        "SELECT ON shard_epoch",
        "SELECT (shard) ON redo",
        _REIGN,
        "SELECT, DELETE ON event_search",
        "EXECUTE ON FUNCTION mend_event_search",
    ),
    "coordinator": ("SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public",),
    "notifier": (
        "SELECT ON journal, shard_checkpoint, told, outbox, deliveries, suppressions,"
        " notifier_beat, events, tiers, sections, organizers, bookings, items, tickets,"
        " waitlist_entries, muted_messages, sale_reminders, reminder_plans, unsubscribe_key",
        "SELECT (id, email, name, language, timezone, erased_at, is_claim, account_key,"
        " email_verified_at) ON users",
        # To sign the codes of tickets; what is sealed there opens with the setting alone.
        "SELECT (kid, purpose, is_setting, sealed, made_at, signs_at, retires_at) ON signing_keys",
        "INSERT, UPDATE ON told, suppressions, notifier_beat",
        "INSERT ON deliveries, muted_messages",
        "INSERT, UPDATE ON reminder_plans",
        "UPDATE (state, attempts, doubts, reason, due_at, written_at, ended_at) ON deliveries",
        "UPDATE (taken_at, sent_at) ON outbox",
        "SELECT ON webhook_endpoints, team_members",
        "UPDATE (failing_since, warned, disabled_at, disabled_why) ON webhook_endpoints",
        "INSERT ON outbox",  # That nothing arrives at a webhook.
        "SELECT, INSERT, UPDATE, DELETE ON push_keys",
        "SELECT, DELETE, UPDATE (last_delivered_at, failures) ON push_subscriptions",
    ),
    "reader": ("SELECT ON ALL TABLES IN SCHEMA public",),
}
#: Taken back: accounts are the API's, and a reader learns no hash of a password and no link.
_REVOKES = (
    "ALL ON users, team_invitations, sessions, account_tokens, outbox, signing_keys, api_keys,"
    " devices FROM evently_persister, evently_coordinator, evently_reader",
    "ALL ON identities, passkeys, spent_flows FROM evently_persister, evently_coordinator",
    "ALL ON webhook_endpoints, push_subscriptions"
    " FROM evently_persister, evently_coordinator, evently_reader",
    "ALL ON idempotency_keys FROM evently_persister, evently_coordinator, evently_reader",
    "INSERT, UPDATE, DELETE ON organizers, team_members, migrations, revocations, gifts, erasures,"
    " told, deliveries, suppressions, notifier_beat, muted_messages, sale_reminders,"
    " reminder_plans, push_keys FROM evently_coordinator",
    "SELECT ON deliveries, suppressions, muted_messages, sale_reminders"
    " FROM evently_persister, evently_coordinator",
    "ALL ON unsubscribe_key FROM evently_persister, evently_coordinator, evently_reader",
    # Who can act can note it, and nobody can take it back.
    "UPDATE, DELETE ON acts, act_days FROM evently_coordinator",
    "INSERT ON act_days FROM evently_coordinator",
)
_READER_OF_USERS = "SELECT (id, email, name, role, organizer_id, created_at, erased_at) ON users"
#: The check asks whether an account is there, and nothing else of it.
_COORDINATOR_OF_USERS = "SELECT (id) ON users"
#: Messages without what is secret in them.
_OF_MESSAGES = (
    "SELECT (id, kind, event_id, user_id, subject_id, shard, epoch, seq, written_at, sent_at)"
    " ON outbox"
)
#: Receipts are verified by public keys.
_COORDINATOR_OF_KEYS = "SELECT (receipt_key, retires_at) ON signing_keys"


def user(role: str) -> str:
    """Return the name that a role logs in by."""
    return f"evently_{role}"


async def grant(connection: asyncpg.Connection, passwords: Mapping[str, str]) -> bool:
    """
    Make the roles and give them their rights, and to those with a password the right to log in.

    Returns:
        False if the owner may not make roles and they are not there: then all is the owner's, and
        there is no row security.
    """
    try:
        await _make_roles(connection)
    except asyncpg.InsufficientPrivilegeError:
        return False
    everybody = ", ".join(map(user, (*ROLES, *ASSUMED)))
    async with connection.transaction():
        await connection.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {everybody}")
        for role, rights in _GRANTS.items():
            for right in rights:
                await connection.execute(f"GRANT {right} TO {user(role)}")
        for right in _REVOKES:
            await connection.execute(f"REVOKE {right}")
        await connection.execute(f"GRANT {_READER_OF_USERS} TO {user('reader')}")
        for right in (_COORDINATOR_OF_USERS, _COORDINATOR_OF_KEYS):
            await connection.execute(f"GRANT {right} TO {user('coordinator')}")
        await _guard_rows(connection)
        # A mended record is told by the coordinator's command.
        await connection.execute(f"GRANT INSERT ON outbox TO {user('coordinator')}")
        for role in ("coordinator", "reader"):
            await connection.execute(f"GRANT {_OF_MESSAGES} TO {user(role)}")
    for role, password in passwords.items():
        statement: str = await connection.fetchval(
            "SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)",
            user(role),
            password,
        )
        await connection.execute(statement)
    return True


async def _guard_rows(connection: asyncpg.Connection) -> None:
    """
    Let each row of an organizer be there for its own transactions alone, in the role `organizer`.

    To the other roles all rows are there; that is a constant, which the planner drops. What stands
    already is left: a policy that is made anew waits for whoever reads the table.
    """
    known = await connection.fetch(
        "SELECT tablename, policyname, cardinality(roles) AS roles FROM pg_policies"
        " WHERE schemaname = 'public'"
    )
    policies = {(row["tablename"], row["policyname"]): row["roles"] for row in known}
    others = ", ".join(map(user, _SEE_ALL))
    is_own = "%I = current_setting('evently.organizer', true)"
    own_rows = f"CREATE POLICY own_rows ON %I TO %I USING ({is_own}) WITH CHECK ({is_own})"
    all_rows = f"CREATE POLICY all_rows ON %I TO {others} USING (true) WITH CHECK (true)"
    guarded = "SELECT relrowsecurity FROM pg_class WHERE oid = $1::regclass"
    for table, column in TENANT_TABLES.items():
        if (table, "own_rows") not in policies:
            await _do(connection, own_rows, table, user("organizer"), column, column)
        if (table, "all_rows") not in policies:
            await _do(connection, all_rows, table)
        elif policies[table, "all_rows"] != len(_SEE_ALL):
            await _do(connection, f"ALTER POLICY all_rows ON %I TO {others}", table)
        if not await connection.fetchval(guarded, table):
            await _do(connection, "ALTER TABLE %I ENABLE ROW LEVEL SECURITY", table)


async def _make_roles(connection: asyncpg.Connection) -> None:
    for role in (*ROLES, *ASSUMED):
        if await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", user(role)):
            continue
        await _once(connection, "CREATE ROLE %I NOLOGIN", user(role))
    # Else it would have the rights of those that it may take on, all the time.
    inherits = "SELECT rolinherit FROM pg_roles WHERE rolname = $1"
    if await connection.fetchval(inherits, user("api")):
        await _once(connection, "ALTER ROLE %I NOINHERIT", user("api"))
    owner = await connection.fetchval("SELECT current_user::text")
    is_member = (
        "SELECT rolsuper OR EXISTS (SELECT FROM pg_auth_members JOIN pg_roles AS assumed"
        " ON assumed.oid = roleid WHERE member = own.oid AND assumed.rolname = $2)"
        " FROM pg_roles AS own WHERE own.rolname = $1"
    )
    for role in ASSUMED:
        for member in (user("api"), owner):
            if not await connection.fetchval(is_member, member, user(role)):
                await _once(connection, "GRANT %I TO %I", user(role), member)


async def _do(connection: asyncpg.Connection, statement: str, *names: str) -> None:
    """Run a statement that takes names in place of `%I`, and no parameters."""
    text: str = await connection.fetchval(
        "SELECT format($1::text, VARIADIC $2::text[])", statement, list(names)
    )
    await connection.execute(text)


async def _once(connection: asyncpg.Connection, statement: str, *names: str) -> None:
    """Change roles, which all databases of the server share; another may do it at this moment."""
    try:
        await _do(connection, statement, *names)
    except (
        asyncpg.DuplicateObjectError,
        asyncpg.UniqueViolationError,
        asyncpg.InternalServerError,  # "tuple concurrently updated"
    ):
        return  # It is done.

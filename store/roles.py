"""
Roles of PostgreSQL: who of us may do what, given anew by every migration.

One role for each part of the service and one for people who only look; the owner, who makes tables,
is nobody's but the migration's. Rights are given to what is there, whichever file made it, so that
a new table is read by all who may read, and written by none until it is named here.
"""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

ROLES = ("api", "persister", "sweeper", "coordinator", "reader")
#: Rights by role, after all were taken; `reign` is what whoever sees a fault may note of it.
_REIGN = "UPDATE (seen_seq, state, lease_until, reason, changed_at) ON shard_epoch"
_GRANTS = {
    "api": (
        "SELECT ON ALL TABLES IN SCHEMA public",
        "INSERT ON users, events, tiers, sections, promos, redo",
        "UPDATE ON events, tiers",
        "EXECUTE ON FUNCTION delete_draft",
        _REIGN,
    ),
    "persister": (
        "SELECT ON ALL TABLES IN SCHEMA public",
        "INSERT, UPDATE ON bookings, items, tickets, scans, waitlist_entries, blocked_seats",
        "DELETE ON items, blocked_seats",
        "INSERT, UPDATE ON shard_checkpoint",
        "INSERT ON journal, quarantine, conflicts, damaged_events",
        "UPDATE ON events, tiers",
        "UPDATE (state, reason, changed_at) ON shard_epoch",
    ),
    "sweeper": (
        "SELECT ON shard_epoch",
        _REIGN,
        "SELECT, DELETE ON event_search",
        "EXECUTE ON FUNCTION mend_event_search",
    ),
    "coordinator": ("SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public",),
    "reader": ("SELECT ON ALL TABLES IN SCHEMA public",),
}
#: Taken back: accounts are the API's, and a reader learns no hash of a password.
_REVOKES = (
    "ALL ON users FROM evently_persister, evently_coordinator, evently_reader",
    "INSERT, UPDATE, DELETE ON organizers, migrations FROM evently_coordinator",
)
_READER_OF_USERS = "SELECT (id, email, name, role, organizer_id, created_at) ON users"
#: The check asks whether an account is there, and nothing else of it.
_COORDINATOR_OF_USERS = "SELECT (id) ON users"


def user(role: str) -> str:
    """Return the name that a role logs in by."""
    return f"evently_{role}"


async def grant(connection: asyncpg.Connection, passwords: Mapping[str, str]) -> bool:
    """
    Make the roles and give them their rights, and to those with a password the right to log in.

    Returns:
        False if the owner may not make roles and they are not there: then all is the owner's.
    """
    try:
        await _make_roles(connection)
    except asyncpg.InsufficientPrivilegeError:
        return False
    everybody = ", ".join(map(user, ROLES))
    async with connection.transaction():
        await connection.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {everybody}")
        for role, rights in _GRANTS.items():
            for right in rights:
                await connection.execute(f"GRANT {right} TO {user(role)}")
        for right in _REVOKES:
            await connection.execute(f"REVOKE {right}")
        await connection.execute(f"GRANT {_READER_OF_USERS} TO {user('reader')}")
        await connection.execute(f"GRANT {_COORDINATOR_OF_USERS} TO {user('coordinator')}")
    for role, password in passwords.items():
        statement: str = await connection.fetchval(
            "SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)",
            user(role),
            password,
        )
        await connection.execute(statement)
    return True


async def _make_roles(connection: asyncpg.Connection) -> None:
    for role in ROLES:
        if await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", user(role)):
            continue
        try:
            statement: str = await connection.fetchval(
                "SELECT format('CREATE ROLE %I NOLOGIN', $1::text)", user(role)
            )
            await connection.execute(statement)
        except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
            continue  # Another database of the server is migrated at the same time.

"""Databases of a test's own beside the session's, and their whole content as text."""

from __future__ import annotations

import asyncio
import secrets
from urllib.parse import urlsplit

import asyncpg

from store import roles
from store.migrate import migrate

#: Every table that a request or a persister may write.
TABLES = (
    "organizers",
    "users",
    "team_members",
    "team_invitations",
    "events",
    "tiers",
    "shard_epoch",
    "shard_checkpoint",
    "journal",
    "bookings",
    "items",
    "tickets",
    "scans",
    "sections",
    "promos",
    "event_search",
    "blocked_seats",
    "waitlist_entries",
    "quarantine",
    "conflicts",
    "redo",
    "outbox",
    "deliveries",
    "suppressions",
    "muted_messages",
    "sale_reminders",
    "sessions",
    "account_tokens",
    "revocations",
    "gifts",
    "identities",
    "passkeys",
    "spent_flows",
    "idempotency_keys",
)

Content = dict[str, list[str]]


async def create_database(server_url: str) -> str:
    """Create an empty database on the server; return its URL."""
    name = f"test_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return urlsplit(server_url)._replace(path=f"/{name}").geturl()


def migrated_database(server_url: str) -> str:
    """Create a database with all migrations applied; return its URL. Runs a loop of its own."""

    async def create() -> str:
        url = await create_database(server_url)
        await migrate(url)
        return url

    return asyncio.run(create())


async def let_roles_in(url: str) -> None:
    """Let the roles log in, as their server allows all: a right that is missing shows."""
    connection = await asyncpg.connect(url)
    for role in roles.ROLES:
        await connection.execute(f"ALTER ROLE {roles.user(role)} LOGIN")
    # What the API's role may still do for the code before is nothing that this code needs.
    for right in ("INSERT ON events, tiers, sections, promos", "UPDATE ON events, tiers"):
        await connection.execute(f"REVOKE {right} FROM {roles.user('api')}")
    await connection.close()


async def content(database: asyncpg.Pool | asyncpg.Connection) -> Content:
    """Return all rows of all tables; equal means that nothing was changed."""
    found: Content = {}
    for table in TABLES:
        query = f"SELECT t::text AS row FROM {table} t ORDER BY 1"  # noqa: S608
        rows = await database.fetch(query)
        found[table] = [row["row"] for row in rows]
    return found

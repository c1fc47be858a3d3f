"""
Migrations: ordered `.sql` files, each applied once, checked by its SHA-256.

Concurrent runners are safe: they poll for an advisory lock, because waiting inside
`pg_advisory_lock` deadlocks with `CREATE INDEX CONCURRENTLY`. A file whose second line is
`-- no-transaction` runs outside one. A file that changed after it was applied is refused.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping
from hashlib import sha256
from importlib import resources

import asyncpg

from engine.ids import first_id
from store import roles
from store.pool import connect

#: Any fixed number; it names our lock in the database.
_LOCK_ID = 0x45564C59
_LOCK_POLL_INTERVAL_S = 0.1
_LOCK_WAIT_MAX_S = 60
_STATEMENT_TIMEOUT_MS = 600_000
#: Years ahead for which partitions are made; `evently migrate` once a year adds the next.
PARTITION_YEARS_AHEAD = 3


class MigrationError(Exception):
    """The migrations cannot be applied; the message says which and why."""


def migrations() -> list[tuple[str, str]]:
    """Return all migrations in order, as (file name, text)."""
    files = resources.files("store.migrations").iterdir()
    return sorted(
        (file.name, file.read_text(encoding="utf-8"))
        for file in files
        if file.name.endswith(".sql")
    )


async def migrate(database_url: str, *, passwords: Mapping[str, str] | None = None) -> list[str]:
    """
    Bring the database up to date, and give each role its rights.

    Args:
        passwords: Of the roles that are to log in (`store.roles`).

    Returns:
        Names of the files applied by this call, in order.

    Raises:
        MigrationError: an applied file has changed since, the lock was not to be had, or roles have
            passwords and cannot be made: the parts could not log in.
    """
    connection = await connect(database_url, timeout_ms=_STATEMENT_TIMEOUT_MS)
    try:
        await _lock(connection)
        applied = await _apply_missing(connection)
        await _ensure_partitions(connection)
        if not await roles.grant(connection, passwords or {}) and passwords:
            raise MigrationError(
                "the owner of the database may not make roles: let it (CREATEROLE), make the roles "
                f"{', '.join(map(roles.user, roles.ROLES))}, or set no passwords for them"
            )
    finally:
        await connection.close()
    return applied


async def _lock(connection: asyncpg.Connection) -> None:
    for _ in range(int(_LOCK_WAIT_MAX_S / _LOCK_POLL_INTERVAL_S)):
        if await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK_ID):
            return
        await asyncio.sleep(_LOCK_POLL_INTERVAL_S)
    raise MigrationError(f"another migration has run for {_LOCK_WAIT_MAX_S} s")


async def _apply_missing(connection: asyncpg.Connection) -> list[str]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations ("
        " name text PRIMARY KEY, sha256 text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now())"
    )
    rows = await connection.fetch("SELECT name, sha256 FROM migrations")
    known: dict[str, str] = {row["name"]: row["sha256"] for row in rows}
    applied: list[str] = []
    for name, text in migrations():
        digest = sha256(text.encode()).hexdigest()
        if name in known:
            if known[name] != digest:
                raise MigrationError(f"{name} was applied with other content; add a new file")
            continue
        record = "INSERT INTO migrations (name, sha256) VALUES ($1, $2)"
        if text.splitlines()[1:2] == ["-- no-transaction"]:
            await connection.execute(text)
            await connection.execute(record, name, digest)
        else:
            async with connection.transaction():
                await connection.execute(text)
                await connection.execute(record, name, digest)
        applied.append(name)
    return applied


async def _ensure_partitions(connection: asyncpg.Connection) -> None:
    this_year = dt.datetime.now(dt.UTC).year
    for year in range(this_year, this_year + PARTITION_YEARS_AHEAD + 1):
        start, end = _year(year), _year(year + 1)
        for parent in ("bookings", "items", "tickets", "scans"):
            await _ensure(connection, parent, year, _first_event(start), _first_event(end))
        await _ensure(connection, "journal", year, start.isoformat(), end.isoformat())


async def _ensure(
    connection: asyncpg.Connection, parent: str, year: int, start: str, end: str
) -> None:
    await connection.execute(
        "SELECT ensure_partition($1, $2, $3, $4)", parent, f"y{year}", start, end
    )


def _year(year: int) -> dt.datetime:
    return dt.datetime(year, 1, 1, tzinfo=dt.UTC)


def _first_event(moment: dt.datetime) -> str:
    return first_id("evt", at_ms=int(moment.timestamp() * 1000))

"""
The config guard for PostgreSQL: what it must be told for a committed row to stay (F19).

`judge` is pure; `require_safe` asks a connection and is called on every new one (`store.pool`), so
that a database which may lose a commit is never used. The guard for Redis is `engine.guard`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import asyncpg

from store.sql import query

#: The oldest server that is tested, as `server_version_num`.
VERSION_NUM_MIN = 150_000

_VERSION = "server_version_num"
_REPLICA = "pg_is_in_recovery"
#: Setting -> (values that will do, why); the first value is the remedy.
_NEEDED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "fsync": (("on",), "else a power cut takes committed rows"),
    "full_page_writes": (("on",), "else a power cut leaves torn pages"),
    # Our sessions ask for `on`; a role or a database that overrides it would be seen here.
    "synchronous_commit": (("on", "remote_apply"), "else a commit answers before it is on disk"),
    "data_sync_retry": (("off",), "after a failed fsync a second one lies (F19)"),
}
SETTINGS = (*_NEEDED, _VERSION)


class Finding(NamedTuple):
    """One thing that is not as it must be; the fields are those of `engine.guard.Finding`."""

    setting: str
    value: str
    must_be: str
    why: str
    fix: str
    refuses: bool = True

    def __str__(self) -> str:
        return f"{self.setting} is {self.value!r}, must be {self.must_be} ({self.fix})"


class UnsafeDatabase(ConnectionError):
    """The database may lose what it commits; the message names each setting and its remedy."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__(
            "PostgreSQL is not configured to keep a booking: " + "; ".join(map(str, findings))
        )
        self.findings = findings


def judge(settings: Mapping[str, str]) -> list[Finding]:
    """Return what is wrong with a server, of its `SETTINGS` and whether it is in recovery."""
    found = []
    version_num = int(settings.get(_VERSION, "0"))
    if version_num < VERSION_NUM_MIN:
        found.append(
            Finding(
                _VERSION,
                str(version_num),
                f"{VERSION_NUM_MIN} or more",
                "older servers are not tested",
                "upgrade the server",
            )
        )
    if settings.get(_REPLICA, "off") != "off":
        found.append(
            Finding(
                _REPLICA,
                "on",
                "off",
                "a standby takes no writes, and what it has may be old",
                "point EVENTLY_DATABASE_URL at the primary",
            )
        )
    for name, (values, why) in _NEEDED.items():
        value = settings.get(name, "unknown to this server")
        if value not in values:
            fix = f"set `{name} = {values[0]}` in postgresql.conf"
            found.append(Finding(name, value, " or ".join(map(repr, values)), why, fix))
    return found


async def read_settings(connection: asyncpg.Connection) -> dict[str, str]:
    """Ask for what `judge` needs."""
    rows = await connection.fetch(query("guard_settings"), list(SETTINGS))
    return {row["name"]: row["setting"] for row in rows}


async def read_clock_ms(connection: asyncpg.Connection) -> int:
    """Ask what time the server has, Unix ms."""
    now_ms: int = await connection.fetchval(query("guard_clock"))
    return now_ms


async def require_safe(connection: asyncpg.Connection) -> None:
    """
    Refuse a connection to a database that may lose what it commits.

    Cost: one round trip.

    Raises:
        UnsafeDatabase: the message says what to set.
    """
    findings = judge(await read_settings(connection))
    if findings:
        raise UnsafeDatabase(findings)

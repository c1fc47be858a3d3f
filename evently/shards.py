"""`evently shards`: which shards there are and where they live; adding one."""

from __future__ import annotations

from typing import NamedTuple

import asyncpg

from evently.settings import Settings, SettingsError
from store import reigns
from store.pool import connect

TRIES_MAX = 10


class Listed(NamedTuple):
    """A shard as operators see it."""

    shard: int
    home: str
    state: str
    epoch: int
    is_reserved: bool
    #: Why it is frozen; empty if it is not.
    reason: str = ""


async def listed(settings: Settings) -> list[Listed]:
    """Return all shards."""
    database = await _connect(settings)
    reasons: dict[int, str] = {}
    try:
        rows = await reigns.shards(database)
        for row in rows:
            if row.state == "frozen":
                reign = await reigns.read(database, row.shard)
                reasons[row.shard] = "" if reign is None else reign.reason
    finally:
        await database.close(timeout=settings.database_timeout_ms / 1000)
    return [
        Listed(
            row.shard,
            row.home or "not written down yet",
            row.state if row.epoch else "never opened",
            row.epoch,
            row.is_reserved,
            reasons.get(row.shard, ""),
        )
        for row in rows
    ]


async def add(settings: Settings, count: int, *, home: str, is_reserved: bool) -> list[int]:
    """
    Add shards, which coordinators open within a second or two.

    Args:
        count: How many.

        home: Name of the server that they live on; empty: each on the one with the fewest.

        is_reserved: Whether they take only events that are put there by hand.

    Raises:
        SettingsError: the settings name no such server.
    """
    servers = settings.redis_servers
    if home and home not in servers:
        raise SettingsError(f"EVENTLY_REDIS_URL names no server {home}")
    database = await _connect(settings)
    added: list[int] = []
    try:
        for _ in range(count):
            for _ in range(TRIES_MAX):
                rows = await reigns.shards(database)
                homes = [row.home for row in rows]
                own = home or min(servers, key=homes.count)
                number = await reigns.add(database, own, is_reserved=is_reserved)
                if number is not None:
                    added.append(number)
                    break
        return added
    finally:
        await database.close(timeout=settings.database_timeout_ms / 1000)


async def _connect(settings: Settings) -> asyncpg.Connection:
    url = settings.database_url_as("coordinator")
    return await connect(url, timeout_ms=settings.database_timeout_ms)

"""API keys of integrations, as rows; what is secret is there as a hash."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from store.sql import Executor, query


class ApiKey(NamedTuple):
    """A key as its organizer sees it."""

    id: str
    organizer_id: str
    made_by: str
    name: str
    scopes: list[str]
    prefix: str
    created_at: dt.datetime
    expires_at: dt.datetime | None
    last_used_at: dt.datetime | None
    revoked_at: dt.datetime | None


class Shown(NamedTuple):
    """A key that somebody brings, as far as it must be known to let them in."""

    id: str
    organizer_id: str
    scopes: list[str]
    hash: bytes
    #: Not revoked, not expired, and its maker may still act for the organizer.
    is_good: bool
    #: Whether its use is to be noted.
    is_due: bool


async def add(
    database: Executor,
    *,
    own_id: str,
    organizer_id: str,
    made_by: str,
    name: str,
    scopes: Sequence[str],
    prefix: str,
    digest: bytes,
    expires_at: dt.datetime | None,
) -> ApiKey | None:
    """Add a key; None if its maker may not act for the organizer, or there is none such."""
    row = await database.fetchrow(
        query("insert_api_key"),
        own_id,
        organizer_id,
        made_by,
        name,
        list(scopes),
        prefix,
        digest,
        expires_at,
    )
    return None if row is None else ApiKey(**row)


async def count(database: Executor, organizer_id: str) -> int:
    """Return how many keys an organizer has that are not revoked."""
    found: int = await database.fetchval(query("count_api_keys"), organizer_id)
    return found


async def of_organizer(
    database: Executor, organizer_id: str, *, before: tuple[dt.datetime, str], limit: int
) -> list[ApiKey]:
    """Return a page of an organizer's keys, newest first."""
    rows = await database.fetch(query("api_keys_of"), organizer_id, *before, limit)
    return [ApiKey(**row) for row in rows]


async def whose(database: Executor, own_id: str) -> str | None:
    """Return the organizer of a key; None if there is no such key."""
    organizer_id: str | None = await database.fetchval(query("organizer_of_api_key"), own_id)
    return organizer_id


async def revoke(database: Executor, own_id: str) -> str | None:
    """End a key for good, in its organizer's transaction; return its prefix, or None."""
    prefix: str | None = await database.fetchval(query("revoke_api_key"), own_id)
    return prefix


async def shown(database: Executor, prefix: str) -> Shown | None:
    """Find the key of a prefix, as it stands now."""
    row = await database.fetchrow(query("api_key_by_prefix"), prefix)
    return None if row is None else Shown(**row)


async def touch(database: Executor, own_id: str) -> None:
    """Note that a key is used; once a minute, whoever notes it."""
    await database.execute(query("touch_api_key"), own_id)

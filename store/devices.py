"""Devices at the gates of events, as rows; what is secret is there as a hash."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from store.sql import Executor, query


class Device(NamedTuple):
    """A device as those who work at the event see it."""

    id: str
    event_id: str
    organizer_id: str
    gate: str
    made_by: str
    created_at: dt.datetime
    code_expires_at: dt.datetime
    #: None until it has exchanged its code.
    enrolled_at: dt.datetime | None
    last_used_at: dt.datetime | None
    revoked_at: dt.datetime | None


class Brought(NamedTuple):
    """An enrolled device whose token somebody brings, as far as it must be known."""

    id: str
    event_id: str
    organizer_id: str
    gate: str
    hash: bytes
    #: Not revoked.
    is_good: bool
    starts_at: dt.datetime
    ends_at: dt.datetime
    #: Whether its use is to be noted.
    is_due: bool


async def add(
    database: Executor,
    *,
    own_id: str,
    event_id: str,
    gate: str,
    made_by: str,
    code_digest: bytes,
    code_ttl_s: float,
) -> Device | None:
    """Add a device that waits for its code; None if its maker may not act at the event's gates."""
    row = await database.fetchrow(
        query("insert_device"), own_id, event_id, gate, made_by, code_digest, code_ttl_s
    )
    return None if row is None else Device(**row)


async def count(database: Executor, event_id: str) -> int:
    """Return how many devices an event has that are not revoked."""
    found: int = await database.fetchval(query("count_devices"), event_id)
    return found


async def of_event(
    database: Executor, event_id: str, *, before: tuple[dt.datetime, str], limit: int
) -> list[Device]:
    """Return a page of an event's devices, newest first."""
    rows = await database.fetch(query("devices_of"), event_id, *before, limit)
    return [Device(**row) for row in rows]


async def by_id(database: Executor, own_id: str) -> Device | None:
    """Find a device by its id."""
    row = await database.fetchrow(query("device_by_id"), own_id)
    return None if row is None else Device(**row)


async def enroll(
    database: Executor, *, code_digest: bytes, prefix: str, digest: bytes
) -> Device | None:
    """Take a code, once, and give its device a token; None if the code is not good, or no more."""
    row = await database.fetchrow(query("enroll_device"), code_digest, prefix, digest)
    return None if row is None else Device(**row)


async def revoke(database: Executor, own_id: str) -> str | None:
    """End a device for good; return its prefix, or None if it has none."""
    prefix: str | None = await database.fetchval(query("revoke_device"), own_id)
    return prefix


async def brought(database: Executor, prefix: str) -> Brought | None:
    """Find the device of a prefix, as it stands now."""
    row = await database.fetchrow(query("device_by_prefix"), prefix)
    return None if row is None else Brought(**row)


async def touch(database: Executor, own_id: str) -> None:
    """Note that a device is used; once a minute, whoever notes it."""
    await database.execute(query("touch_device"), own_id)

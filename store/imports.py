"""Imports of events: who writes them, and what of a source is there already."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import asyncpg

from store import tenants
from store.sql import Executor, query
from store.tenants import Connection


class SourceRow(NamedTuple):
    """An event that came from a source, or is named by its own id."""

    #: By which the source names it.
    source_id: str
    id: str
    #: Digest of what the source said last; "" of an event that came from none.
    source_print: str
    #: Whether it is a draft that nobody has begun to publish.
    is_untouched: bool
    starts_at: dt.datetime


@contextlib.asynccontextmanager
async def alone(pool: asyncpg.Pool, organizer_id: str) -> AsyncIterator[Connection]:
    """Begin the organizer's transaction, in which nobody else imports events of it."""
    async with tenants.rows_of(pool, organizer_id) as connection:
        await connection.execute(query("lock_import"), organizer_id)
        yield connection


async def known(
    connection: Connection, organizer_id: str, source_ids: Sequence[str]
) -> dict[str, SourceRow]:
    """Return what is there of some events of a source, by their ids there."""
    rows = await connection.fetch(query("events_of_source"), organizer_id, source_ids)
    return {row["source_id"]: SourceRow(*row) for row in rows}


async def note(connection: Connection, organizer_id: str, event_id: str, source_print: str) -> None:
    """Note what the source says of an organizer's event now."""
    await connection.execute(query("note_source"), event_id, source_print, organizer_id)


async def organizers(database: Executor) -> list[str]:
    """Return the ids of the organizers that there are; three at most."""
    return [row["id"] for row in await database.fetch(query("first_organizers"))]


async def has_organizer(database: Executor, organizer_id: str) -> bool:
    """Tell whether there is an organizer of this id."""
    return bool(await database.fetchval(query("organizer_exists"), organizer_id))


async def next_ids(
    database: Executor, organizer_id: str, *, after_id: str, limit: int
) -> list[str]:
    """Return the ids of an organizer's events in order, from the one after *after_id* on."""
    rows = await database.fetch(query("exported_events"), organizer_id, after_id, limit)
    return [row["id"] for row in rows]

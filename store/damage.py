"""Events that have lost a key in Redis, as PostgreSQL keeps the note of it."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import asyncpg

from store.sql import Executor, query

#: Stands for lost keys where all keys are there, and a row of one was lost.
ROWS = "rows"


class Kept(NamedTuple):
    """How many rows of an event PostgreSQL has, that Redis must have as well."""

    bookings: int
    entries: int
    #: That were ever changed.
    tickets: int
    promos: int


class Damage(NamedTuple):
    """One loss."""

    shard: int
    event_id: str
    #: Names of keys, as `engine.keys.EventKeys` has them.
    lost: str
    noticed_at: dt.datetime
    rebuilt_at: dt.datetime | None


async def on_sale(database: Executor, shard: int, *, after: str, most: int) -> list[str]:
    """Return the next events of a shard that were ever on sale, in order; none after the last."""
    rows = await database.fetch(query("events_to_look_at"), shard, after, most)
    return [row["id"] for row in rows]


async def note(database: Executor, shard: int, event_id: str, lost: Sequence[str]) -> bool:
    """Note a loss; False if it is known."""
    words = " ".join(lost)
    return await database.fetchval(query("note_damaged"), shard, event_id, words) is not None


async def without_rows(database: Executor, shard: int) -> list[str]:
    """Return the events that have lost rows, which no mark tells, and are not rebuilt yet."""
    return [row["event_id"] for row in await database.fetch(query("without_rows"), shard, ROWS)]


async def note_whole(database: Executor, event_ids: Sequence[str]) -> None:
    """Note that events are whole; of those that always were, nothing is."""
    await database.execute(query("note_whole"), event_ids)


async def lately(database: Executor, within: dt.timedelta) -> list[Damage]:
    """Return what is damaged now, and what was until some time ago, the latest first."""
    return [Damage(*row) for row in await database.fetch(query("damaged_events"), within)]


async def count(database: Executor, shard: int) -> int:
    """Return how many events of a shard are damaged now."""
    found: int = await database.fetchval(query("count_damaged"), shard)
    return found


async def kept(database: Executor, event_id: str) -> Kept:
    """Return how much of an event there is."""
    row = await database.fetchrow(query("kept_of_event"), event_id)
    assert row is not None, "the query always returns one row"
    return Kept(*row)


@contextlib.asynccontextmanager
async def mending(database: asyncpg.Connection, shard: int) -> AsyncIterator[bool]:
    """Be the one process that rebuilds events of a shard; False if another does."""
    is_ours = await database.fetchval(query("take_mending"), shard)
    try:
        yield is_ours
    finally:
        if is_ours and not database.is_closed():
            await database.fetchval(query("leave_mending"), shard)

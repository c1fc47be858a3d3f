"""What the continuous check knows to be wrong, as PostgreSQL keeps the note of it for `doctor`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from store.sql import Executor, columns, query

#: How long it is kept that something was wrong and is no more.
KEPT = dt.timedelta(days=7)
#: Violations of one shard that are noted; one is enough to look.
NOTED_MAX = 1_000


class Noted(NamedTuple):
    """A violation as the watch found it."""

    identity: str
    invariant: str
    code: str
    event_id: str | None
    booking_id: str | None
    message: str


class Drift(NamedTuple):
    """A violation as it is told."""

    shard: int
    invariant: str
    code: str
    event_id: str | None
    booking_id: str | None
    message: str
    seen_at: dt.datetime
    gone_at: dt.datetime | None


class Watched(NamedTuple):
    """How long ago a shard was looked at, in seconds."""

    shard: int
    looked_s: float
    #: Since all its events had their turn; None: they have not had it yet.
    passed_s: float | None


class Proved(NamedTuple):
    """Up to where all of a shard is proved: the last record there was when its turn began."""

    epoch: int
    seq: int
    #: How long ago the turn began, in seconds.
    ago_s: float


class ProofRow(NamedTuple):
    """What is known of an event's proof."""

    #: How long ago its shard was looked at, and how old the last whole proof is, in seconds.
    looked_s: float
    #: None until all of the shard has had its turn.
    proved_s: float | None
    #: The last record that was proved.
    epoch: int | None
    seq: int | None
    #: What is wrong now: with the event, and with its shard as a whole.
    wrong_with_event: int
    wrong_with_shard: int


class Gone(NamedTuple):
    """Something that belongs to an account that is gone."""

    user_id: str
    event_id: str
    booking_id: str | None


async def note(
    database: Executor, shard: int, found: Sequence[Noted], *, ends_others: bool
) -> None:
    """
    Note what is wrong with a shard. Idempotency: what is known stays as it was.

    Args:
        ends_others: It is all that is wrong: the rest of what is noted is over.
    """
    if found:
        await database.execute(query("note_drift"), shard, *columns(list(found)))
    if ends_others:
        await database.execute(query("end_drift"), shard, [row.identity for row in found], KEPT)


async def note_watch(database: Executor, shard: int, proved: Proved | None) -> None:
    """Note that a shard was looked at; with *proved*, that all of it has had its turn."""
    place = (None, None, None) if proved is None else (proved.ago_s, proved.epoch, proved.seq)
    await database.execute(query("note_watch"), shard, *place)


async def proof_of(database: Executor, shard: int, event_id: str) -> ProofRow | None:
    """Return what is known of an event's proof; None if nobody has looked at its shard yet."""
    row = await database.fetchrow(query("proof_of_event"), shard, event_id)
    return None if row is None else ProofRow(*row)


async def lately(database: Executor, within: dt.timedelta) -> list[Drift]:
    """Return some of what is wrong now, and of what was until some time ago."""
    return [Drift(*row) for row in await database.fetch(query("drift"), within)]


async def count(database: Executor) -> int:
    """Return how many violations are known now."""
    found: int = await database.fetchval(query("count_drift"))
    return found


async def watched(database: Executor) -> list[Watched]:
    """Return when shards were looked at."""
    return [Watched(*row) for row in await database.fetch(query("watches"))]


async def gone_users(database: Executor, shard: int, *, rows_max: int) -> list[Gone]:
    """Return what accounts that are gone have in a shard."""
    return [Gone(*row) for row in await database.fetch(query("gone_users"), shard, rows_max)]

"""
The check: do Redis and PostgreSQL agree, while sales run? Reads only, and never repairs.

Per shard, PostgreSQL is first proved against itself (`reconciler.judge.proof`), then each group of
events is read from both stores (`reconciler.event.snapshot`) and given to the invariants. Whatever
is found is looked for again from a fresh start before it is reported (F40): drift stays, a mistake
of the reading would not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from reconciler.event.hashes import scan_events
from reconciler.event.image import Image
from reconciler.event.journal import Known
from reconciler.event.snapshot import Reader, Torn, groups
from reconciler.event.view import EventView, ShardView
from reconciler.event.violation import Violation
from reconciler.judge.contents import (
    check_bookings,
    check_ids,
    check_persons,
    check_promos,
    check_rows,
    check_tickets,
)
from reconciler.judge.invariants import (
    check_broken,
    check_conservation,
    check_deadlines,
    check_door,
    check_journal,
    check_loaded,
    check_partition,
    check_pools,
    check_stock,
    check_whole,
    image_of,
)
from reconciler.judge.lists import check_holds, check_lists
from reconciler.judge.organizer import check_event_row, check_tier_rows
from reconciler.judge.proof import Progress, prove
from reconciler.judge.seats import check_seats
from reconciler.judge.waitlist import check_waitlist
from reconciler.servers import NoServer, Servers, chosen
from store import audit, reigns
from store.pool import UNANSWERED

CLEAN, DRIFT, UNCHECKED = 0, 1, 2
VERDICTS = {CLEAN: "clean", DRIFT: "drift", UNCHECKED: "unchecked"}

#: Times that an event is read before what was found each time is reported.
EXAMINATIONS = 3
#: Times that a reading begins anew because the shard went to another epoch.
TORN_MAX = 10
TORN_PAUSE_S = 0.2
#: Violations of one group that are reported.
GROUP_VIOLATIONS_MAX = 1_000

_BROKEN = ("record_missing", "record_corrupt")
#: How it shows that a server cannot be asked, or is not known.
NOWHERE = (reigns.NoShard, NoServer)
AWAY = (RedisError, *UNANSWERED, *NOWHERE)


SHARD_CHECKS: tuple[Callable[[ShardView], list[Violation]], ...] = (check_door, check_journal)
EVENT_CHECKS: tuple[Callable[[EventView], list[Violation]], ...] = (
    check_broken,
    check_loaded,
    check_event_row,
    check_tier_rows,
    check_conservation,
    check_pools,
    check_partition,
    check_deadlines,
    check_bookings,
    check_rows,
    check_ids,
    check_waitlist,
    check_tickets,
    check_holds,
)
#: Of events that are published and loaded, against what Redis must have.
IMAGE_CHECKS: tuple[Callable[[EventView, Image], list[Violation]], ...] = (
    check_stock,
    check_seats,
    check_persons,
    check_promos,
    check_lists,
)


class CannotCheck(Exception):
    """Nothing can be said about the stores; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardSummary:
    """Up to where a shard was checked."""

    shard: int
    epoch: int
    watermark_seq: int
    checkpoint_seq: int

    @property
    def lag(self) -> int:
        """Records that PostgreSQL did not have yet."""
        return max(0, self.watermark_seq - self.checkpoint_seq)


@dataclass(slots=True)
class Result:
    """What was checked and found."""

    events: int = 0
    bookings: int = 0
    records: int = 0
    shards: list[ShardSummary] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Return 0 clean, 1 drift (even if not all was checked), 2 not all was checked."""
        if self.violations:
            return DRIFT
        return UNCHECKED if self.errors else CLEAN

    @property
    def verdict(self) -> str:
        """Return the exit code as a word."""
        return VERDICTS[self.exit_code]


async def check(
    servers: Servers,
    *,
    shard: int | None = None,
    event_id: str | None = None,
    progress: Progress = lambda _: None,
) -> Result:
    """
    Compare Redis and PostgreSQL.

    Cost: reads the checked shards' journal and bookings once, and the checked events' bookings
    from both stores. Safe at any time, also while the shard is fenced.

    Args:
        shard: The only shard to check; all if not given.

        event_id: The only event to check. Its shard's journal is proved all the same.

        progress: Takes a word on what is going on, now and then.
    """
    result = Result()
    try:
        async with servers.database() as database:
            if event_id is not None:
                shard = await find_shard(database, servers, event_id)
            if shard is None:
                result.violations += await unknown_shards(database)
            for number in await chosen(database, shard):
                try:
                    async with servers.redis(number) as redis:
                        await _Shard(number, redis, database, progress, result).check(event_id)
                except (*AWAY, CannotCheck) as error:
                    result.errors.append(f"shard {number}: {said(error)}")
    except (*AWAY, CannotCheck) as error:
        result.errors.append(said(error))
    return result


async def check_rebuilt(
    shard: int,
    redis: Redis,
    database: asyncpg.Connection,
    known: Known,
    events: Sequence[str],
    counts: Mapping[str, int],
    progress: Progress = lambda _: None,
) -> Result:
    """
    Judge a shard that is shut by the invariants of `check`, without proving its journal again.

    Args:
        counts: How many bookings PostgreSQL has of each.

    Cost: reads the bookings of *events* from both stores, and no journal.
    """
    result = Result()
    reader = Reader(shard, redis, database, known, bool(events))
    for group in groups(events, counts):
        seen = await examine(reader, group)
        result.violations += seen.violations
        result.events += len(group)
        result.bookings += seen.bookings
        progress(f"shard {shard}: {result.events} of {len(events)} events compared")
    return result


class _Shard:
    """Checks one shard and adds to the result."""

    def __init__(
        self,
        number: int,
        redis: Redis,
        database: asyncpg.Connection,
        progress: Progress,
        result: Result,
    ) -> None:
        self._number = number
        self._redis = redis
        self._database = database
        self._progress = progress
        self._result = result

    async def check(self, event_id: str | None) -> None:
        result = self._result
        ledger = await prove(self._database, self._number, self._progress)
        rows = await audit.events(self._database, self._number)
        published = {row.id for row in rows if row.status != "draft"}
        if event_id is None:
            loaded = await scan_events(self._redis, self._number)
            events = sorted(published | loaded | ledger.events.keys())
        else:
            events = [event_id]
        reader = Reader(self._number, self._redis, self._database, ledger, bool(published))
        found = [
            violation
            for violation in ledger.violations
            if event_id is None or violation.event_id in {None, event_id}
        ]
        done = 0
        seen: Examined | None = None
        for group in groups(events, ledger.counts):
            seen = await examine(reader, group)
            found += seen.violations
            result.bookings += seen.bookings
            done += len(group)
            self._progress(f"shard {self._number}: {done} of {len(events)} events compared")
        assert seen is not None  # A shard without events is one empty group.
        view = seen.shard
        result.events += len(events)
        result.records += ledger.records + view.tail_records
        result.shards.append(
            ShardSummary(
                shard=self._number,
                epoch=view.epoch,
                watermark_seq=view.watermark_seq,
                checkpoint_seq=view.checkpoint_seq,
            )
        )
        result.violations += without_named(found)


class Examined(NamedTuple):
    """A group as it was first read, and what every look at it has found."""

    shard: ShardView
    bookings: int
    violations: list[Violation]


async def examine(reader: Reader, group: Sequence[str]) -> Examined:
    """
    Read a group and judge it; again from the start, as long as anything is found (F40).

    Raises:
        CannotCheck: the shard goes from epoch to epoch.
    """
    suspects: dict[tuple[object, ...], Violation] | None = None
    first: ShardView | None = None
    bookings = 0
    for _ in range(EXAMINATIONS):
        shard_view, views = await read_group(reader, group)
        if first is None:
            first, bookings = shard_view, sum(len(view.expected) for view in views)
        found = {v.identity: v for v in judge(shard_view, views)}
        if suspects is not None:
            found = {key: value for key, value in found.items() if key in suspects}
        suspects = found
        if not suspects:
            break
        group = sorted({v.event_id for v in suspects.values() if v.event_id is not None})
    assert first is not None
    assert suspects is not None
    return Examined(first, bookings, list(suspects.values())[:GROUP_VIOLATIONS_MAX])


async def read_group(reader: Reader, group: Sequence[str]) -> tuple[ShardView, list[EventView]]:
    """Read a group, as often as it takes for one epoch to last that long."""
    for _ in range(TORN_MAX):
        try:
            return await reader.read(group)
        except Torn:
            await asyncio.sleep(TORN_PAUSE_S)
    raise CannotCheck(f"the shard changed its epoch during each of {TORN_MAX} readings")


def judge(shard_view: ShardView, views: Sequence[EventView]) -> list[Violation]:
    """Return what the invariants find in a group, once read."""
    found: list[Violation] = []
    for check_shard in SHARD_CHECKS:
        found += check_shard(shard_view)
    for view in views:
        found += judge_event(view)
    for broken in shard_view.broken.ranges:
        records = broken.last_seq - broken.first_seq + 1
        found.append(
            Violation(
                invariant="I7",
                code=broken.code,
                shard=shard_view.shard,
                seq=broken.first_seq,
                expected=records,
                found=0,
                subject=str(broken.last_seq),
                message=f"records {broken.first_seq} to {broken.last_seq} of epoch {broken.epoch} "
                f"in the {broken.place}: {broken.why}",
            )
        )
    return found


def judge_event(view: EventView) -> list[Violation]:
    """Return what is wrong with an event; of one that has lost keys, no more than that."""
    lost = check_whole(view)
    if lost:
        return lost
    found = [violation for check in EVENT_CHECKS for violation in check(view)]
    if view.state.sale is not None and view.stock:
        image = image_of(view, view.state.sale)
        found += [violation for check in IMAGE_CHECKS for violation in check(view, image)]
    return found


def without_named(found: Sequence[Violation]) -> list[Violation]:
    """Leave out what groups found alike, and broken records whose owner is named beside."""
    distinct = {(*violation.identity, violation.seq): violation for violation in found}.values()
    named = [
        violation.seq
        for violation in distinct
        if violation.code in _BROKEN
        and violation.event_id is not None
        and violation.seq is not None
    ]
    kept = []
    for violation in distinct:
        if violation.code in _BROKEN and violation.event_id is None:
            last_seq = int(violation.subject)
            known = sum((violation.seq or 0) <= seq <= last_seq for seq in named)
            if known >= last_seq - (violation.seq or 0) + 1:
                continue
            kept.append(replace(violation, found=known))
        else:
            kept.append(violation)
    return kept


async def unknown_shards(database: asyncpg.Connection) -> list[Violation]:
    """I13: whatever has records or events is a shard that `shard_epoch` has."""
    return [
        Violation(
            invariant="I13",
            code="shard_unknown",
            shard=number,
            expected="a row",
            found="none",
            message=f"PostgreSQL has events or records of shard {number}, and no such shard: "
            "nobody looks after it",
        )
        for number in await audit.unknown_shards(database)
    ]


async def find_shard(database: asyncpg.Connection, servers: Servers, event_id: str) -> int:
    """Return the shard that an event lives on, from either store."""
    row = (await audit.event_rows(database, [event_id])).get(event_id)
    if row is not None:
        return (await chosen(database, row.shard))[0]
    for shard in await chosen(database, None):
        async with servers.redis(shard) as redis:
            if event_id in await scan_events(redis, shard):
                return shard
    raise CannotCheck(f"no such event: {event_id}")


def said(error: BaseException) -> str:
    """Say why nothing could be said."""
    if isinstance(error, (*NOWHERE, CannotCheck)):
        return str(error)
    who = "Redis" if isinstance(error, RedisError) else "PostgreSQL"
    return f"{who} does not answer: {type(error).__name__}: {error}"

"""
Records that PostgreSQL lacks and no stream has: written again from what Redis still has.

So it is where PostgreSQL went back in time (F31), which a human has to say, and where somebody has
shortened the stream before PostgreSQL had it (F66), which a recovery mends by itself.

Records that the stream kept are read as ever, and those that workers told are taken as they are.
The others are derived from the values they left in Redis: a booking's value tells the places of its
making, its cuts and its end; a hold,
an entry, a ticket and an event's stock that of their last. They go into the ledger at their own
places, through the ledger writer, so that the journal is whole again and `check` proves the state.
A place whose record left nothing behind gets a `lost` record. Gone for good are what buyers wrote
beside an order, and what the API itself keeps in PostgreSQL: people, events, tiers.

Memory: O(lost records).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from redis.asyncio import Redis

from engine import keys
from engine.records import Damaged, Entry, Lost, Record, decode, encode, last_seq, read_call
from reconciler.event.derive import END, Derived, derive
from reconciler.event.hashes import scan_events
from reconciler.event.journal import follow_sales
from reconciler.event.snapshot import read_quiet
from reconciler.event.state import EventState
from store import audit, ledger

RECORDS_MAX = 1_000
#: Stream entries, of up to 128 records each, of one read.
ENTRIES_MAX = 50
#: Derived records that found no place, as far as they are told.
TOLD_MAX = 20
#: Records by epoch and place.
Remembered = Mapping[int, Mapping[int, Entry]]
NOTHING: Remembered = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Hole:
    """Records of one epoch that PostgreSQL does not have."""

    epoch: int
    first_seq: int
    last_seq: int
    #: How many of them no stream has either.
    lost: int


async def find_holes(redis: Redis, database: asyncpg.Connection, shard: int) -> list[Hole]:
    """
    Return what only Redis knows of, if the stream alone does not tell it; else nothing.

    A tail that waits for the persister is no hole: it is in the stream, and every record is.

    Cost: reads the streams behind the checkpoint.
    """
    checkpoints = await audit.checkpoints(database, shard)
    meta: Any = await redis.hgetall(keys.meta(shard))
    if not meta:
        return []
    newest = int(meta[b"epoch"])
    reign = max([epoch for epoch, seq in checkpoints.items() if seq] or [0])
    holes = []
    for epoch in range(max(1, min(reign, newest)), newest + 1):
        last, length = await stream_end(redis, shard, epoch)
        if epoch == newest:
            last = max(last, int(meta.get(b"seq", 0)))
        elif not length and last == 0:
            last = await _last_seen(redis, shard, epoch)
        checkpoint = checkpoints.get(epoch, 0)
        if last <= checkpoint:
            continue
        whole = Hole(epoch=epoch, first_seq=checkpoint + 1, last_seq=last, lost=0)
        kept = await kept_of(redis, shard, whole) if length else {}
        # After the stream: what was trimmed meanwhile had been committed before.
        checkpoint = (await audit.checkpoints(database, shard)).get(epoch, 0)
        lost = max(0, last - checkpoint) - sum(seq > checkpoint for seq in kept)
        if last > checkpoint and (lost or epoch < newest):
            holes.append(Hole(epoch=epoch, first_seq=checkpoint + 1, last_seq=last, lost=lost))
    # Without a lost record, or an epoch that PostgreSQL never saw end, it is a tail.
    return holes if any(hole.lost or hole.epoch < newest for hole in holes) else []


@dataclass(slots=True)
class Restored:
    """What was written."""

    entries: dict[Hole, list[Entry | Damaged]] = field(default_factory=dict)
    #: Places of which nothing is known.
    lost: int = 0
    derived: int = 0
    #: Events that any of it is about.
    events: set[str] = field(default_factory=set)
    #: What could not be given a place, in words.
    homeless: list[str] = field(default_factory=list)


async def restore(
    redis: Redis,
    database: asyncpg.Connection,
    shard: int,
    holes: list[Hole],
    *,
    holder: str,
    told: Remembered = NOTHING,
) -> Restored:
    """
    Write the records of *holes* to the ledger, behind its checkpoints; fenced.

    Atomicity: batches of the ledger writer; a crash leaves fewer holes.
    Idempotency: what is written is no hole any more.

    Args:
        told: Records that workers know; the stream is believed before them.

    Raises:
        LedgerError: the claim was lost, or a row was refused.
    """
    restored = await compose(redis, database, shard, holes, told=told)
    for hole in holes:
        await _write(database, shard, hole, restored.entries[hole], holder)
    return restored


async def compose(
    redis: Redis,
    database: asyncpg.Connection,
    shard: int,
    holes: list[Hole],
    *,
    told: Remembered = NOTHING,
) -> Restored:
    """Return the records of *holes*: those of the stream, those told, and derived ones."""
    kept = {
        hole.epoch: {**told.get(hole.epoch, {}), **await kept_of(redis, shard, hole)}
        for hole in holes
    }
    plan = _Places(holes, {epoch: set(entries) for epoch, entries in kept.items()})
    tail = [
        entry.record
        for hole in holes
        for _, entry in sorted(kept[hole.epoch].items())
        if isinstance(entry, Entry)
    ]
    events = sorted(await scan_events(redis, shard))
    states = {event_id: EventState() for event_id in events}
    async with audit.begin(database):
        await follow_sales(database, shard, states)
    for event_id in events:
        remains = await read_quiet(redis, shard, event_id)
        async with audit.begin(database):
            blocked = (await audit.blocked_seats(database, [event_id]))[event_id]
        known = states[event_id].published
        own = [record for record in tail if record.event_id == event_id]
        plan.take(derive(remains, known, blocked, own))
    plan.settle()
    restored = Restored(homeless=plan.told())
    for hole in holes:
        _fill(restored, hole, kept[hole.epoch], plan)
    return restored


@dataclass(slots=True)
class _Places:
    """Which derived record goes where."""

    holes: list[Hole]
    kept: dict[int, set[int]]
    _exact: dict[tuple[int, int], bytes] = field(default_factory=dict)
    _loose: list[Derived] = field(default_factory=list)
    _homeless: list[str] = field(default_factory=list)

    def take(self, records: Iterator[Derived]) -> None:
        for derived in records:
            if derived.place is None:
                self._loose.append(derived)
            elif self._is_lost(*derived.place):
                self._exact.setdefault(derived.place, encode(derived.record))

    def settle(self) -> None:
        """
        Give each loose record a free place that it may stand at, so that none takes another's last.

        That whose time ends first is placed first, and as early as it may be; one that may stand
        before the end stands as late as it may.
        """
        for derived in sorted(self._loose, key=lambda one: (one.before, one.after)):
            is_late = derived.before == END
            free = self._last_free if is_late else self._first_free
            place = free(derived.after, derived.before)
            if place is None:
                self._homeless.append(
                    f"`{derived.record.__struct_config__.tag}` of {derived.record.event_id} "
                    "found no place among the lost records"
                )
            else:
                self._exact[place] = encode(derived.record)
        self._loose.clear()

    def at(self, epoch: int, seq: int) -> bytes | None:
        return self._exact.get((epoch, seq))

    def told(self) -> list[str]:
        return self._homeless[:TOLD_MAX]

    def _is_lost(self, epoch: int, seq: int) -> bool:
        return any(
            hole.epoch == epoch
            and hole.first_seq <= seq <= hole.last_seq
            and seq not in self.kept[epoch]
            for hole in self.holes
        )

    def _first_free(
        self, after: tuple[int, int], before: tuple[int, int]
    ) -> tuple[int, int] | None:
        for hole in self.holes:
            first_seq = hole.first_seq
            if hole.epoch == after[0]:
                first_seq = max(first_seq, after[1] + 1)
            for seq in range(first_seq, hole.last_seq + 1):
                place = (hole.epoch, seq)
                if place >= before:
                    return None
                if place > after and place not in self._exact and self._is_lost(*place):
                    return place
        return None

    def _last_free(self, after: tuple[int, int], before: tuple[int, int]) -> tuple[int, int] | None:
        for hole in reversed(self.holes):
            for seq in range(hole.last_seq, hole.first_seq - 1, -1):
                place = (hole.epoch, seq)
                if place <= after:
                    return None
                if place < before and place not in self._exact and self._is_lost(*place):
                    return place
        return None


def _fill(
    restored: Restored, hole: Hole, kept: Mapping[int, Entry | Damaged], plan: _Places
) -> None:
    """Put together the records of one hole."""
    at_ms = 0
    entries = restored.entries[hole] = []
    for seq in range(hole.first_seq, hole.last_seq + 1):
        entry = kept.get(seq)
        if entry is None:
            raw = plan.at(hole.epoch, seq)
            record: Record = (
                decode(raw) if raw else Lost(version=1, at_ms=at_ms, event_id="", why="unknown")
            )
            entry = Entry(seq, record, raw or encode(record))
            restored.lost += raw is None
            restored.derived += raw is not None
        if isinstance(entry, Entry):
            at_ms = entry.record.at_ms
            restored.events.add(entry.record.event_id)
        entries.append(entry)


async def _write(
    database: asyncpg.Connection,
    shard: int,
    hole: Hole,
    entries: Sequence[Entry | Damaged],
    holder: str,
) -> None:
    last_seq = await ledger.read_checkpoint(database, shard=shard, epoch=hole.epoch)
    entries = [entry for entry in entries if entry.seq > last_seq]
    for start in range(0, len(entries), RECORDS_MAX):
        last_seq = await ledger.write(
            database,
            shard=shard,
            epoch=hole.epoch,
            last_seq=last_seq,
            entries=entries[start : start + RECORDS_MAX],
            holder=holder,
        )


async def kept_of(redis: Redis, shard: int, hole: Hole) -> dict[int, Entry | Damaged]:
    """Return what the stream still has of a hole."""
    found: dict[int, Entry | Damaged] = {}
    seq = hole.first_seq - 1
    while True:
        rows: Any = await redis.xrange(
            keys.journal(shard, hole.epoch), f"({seq}-1", count=ENTRIES_MAX
        )
        for row in rows:
            for entry in read_call(*row):
                if hole.first_seq <= entry.seq <= hole.last_seq:
                    found[entry.seq] = entry
            seq = last_seq(row[0])
        if not rows or seq >= hole.last_seq:
            return found


async def stream_end(redis: Redis, shard: int, epoch: int) -> tuple[int, int]:
    """Return the last record that a stream has or had, and how many entries it has."""
    journal = keys.journal(shard, epoch)
    if not await redis.exists(journal):
        return 0, 0
    info: Any = await redis.xinfo_stream(journal)
    return last_seq(info["last-generated-id"]), int(info["length"])


async def _last_seen(redis: Redis, shard: int, epoch: int) -> int:
    """Return the last record of an epoch that any value of Redis names: its stream is gone."""
    last = 0
    for event_id in await scan_events(redis, shard):
        for derived in derive(await read_quiet(redis, shard, event_id), None, {}, []):
            if derived.place is not None and derived.place[0] == epoch:
                last = max(last, derived.place[1])
    return last

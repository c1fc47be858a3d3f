"""
The journal's archive in PostgreSQL, put right where rows of it are gone or damaged.

A record is taken from where it still stands as it was: in its batch, in a stream of Redis that has
not been trimmed, or in what workers left. What is nowhere is not made up, but where it is asked for
(`--pg`): then it is derived (`reconciler.recover.rewind`), with what buyers wrote from the rows of
their bookings, which are still there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import asyncpg
import msgspec
from redis.asyncio import Redis

from engine.errors import CorruptRecord
from engine.records import Booked, Confirmed, Damaged, Detail, Entry, Record, decode, encode
from reconciler.event.violation import Broken, Violation
from reconciler.recover.rewind import Hole, compose, kept_of
from store import bookings, ledger, rebuild, redo

#: Records of one place that are looked for.
RECORDS_MAX = 100_000
#: Violations that end when the batch is written again as it is.
OF_BATCH = frozenset({"journal_moment_differs"})
#: Violations that end when records come back.
OF_RECORD = frozenset({"record_missing", "record_corrupt", "quarantine_lost"})


class Refile(NamedTuple):
    """Records that are written into the archive again, one after another."""

    epoch: int
    entries: tuple[Entry, ...]

    @property
    def first_seq(self) -> int:
        """The first of them."""
        return self.entries[0].seq

    @property
    def last_seq(self) -> int:
        """The last of them."""
        return self.entries[-1].seq

    def has(self, violation: Violation) -> bool:
        """Tell whether it puts right what is wrong with the archive at one place."""
        return violation.seq is not None and self.first_seq <= violation.seq <= self.last_seq


async def find(
    redis: Redis,
    database: asyncpg.Connection,
    shard: int,
    broken: Sequence[Broken],
    moments: Iterable[tuple[int, int]],
) -> list[Refile]:
    """
    Return what of the archive can be written again from where it still stands.

    Args:
        broken: Records that it lacks, or has damaged.

        moments: First records (epoch, seq) of batches that are of a wrong time.
    """
    ranges = [
        (one.epoch, one.first_seq, one.last_seq) for one in broken if one.place == "journal"
    ] + [(epoch, seq, seq) for epoch, seq in moments]
    told: dict[tuple[int, int], Entry] = {}
    for row in await redo.read(database, shard) if ranges else ():
        record = row.decoded
        if isinstance(record, Record):
            told[row.epoch, row.seq] = Entry(row.seq, record, row.record.encode())
    found = []
    for epoch, first_seq, last_seq in ranges:
        if last_seq - first_seq >= RECORDS_MAX:
            continue
        entries: dict[int, Entry | Damaged] = {}
        hole = Hole(epoch=epoch, first_seq=first_seq, last_seq=last_seq, lost=0)
        for seq in range(first_seq, last_seq + 1):
            if (epoch, seq) in told:
                entries[seq] = told[epoch, seq]
        entries |= await kept_of(redis, shard, hole)
        entries = await _of_batch(database, shard, epoch, first_seq) | entries
        seqs = range(min([*entries, first_seq]), max([*entries, last_seq]) + 1)
        whole = [entries.get(seq) for seq in seqs]
        sound = [entry for entry in whole if isinstance(entry, Entry)]
        if len(sound) == len(whole):
            found.append(Refile(epoch, tuple(sound)))
    return found


async def _of_batch(
    database: asyncpg.Connection, shard: int, epoch: int, seq: int
) -> dict[int, Entry | Damaged]:
    """Return the records of the batch that a place is in, as far as there is one."""
    batch = await rebuild.batch_of(database, shard, epoch, seq)
    found: dict[int, Entry | Damaged] = {}
    for its_seq, line in enumerate(batch.records.split("\n"), batch.first_seq) if batch else ():
        try:
            found[its_seq] = Entry(its_seq, decode(line.encode()), line.encode())
        except CorruptRecord as error:
            found[its_seq] = Damaged(its_seq, line.encode(), str(error))
    return found


async def derive_missing(
    redis: Redis, database: asyncpg.Connection, shard: int, broken: Sequence[Broken]
) -> list[Refile]:
    """Return what stands for records that are nowhere: derived ones, and `lost` ones; fenced."""
    holes = [
        Hole(epoch=one.epoch, first_seq=one.first_seq, last_seq=one.last_seq, lost=0)
        for one in broken
        if (one.place, one.code) == ("journal", "record_missing")
        and one.last_seq - one.first_seq < RECORDS_MAX
    ]
    found = []
    for hole in holes:  # One at a time: of an epoch there may be several.
        composed = (await compose(redis, database, shard, [hole])).entries[hole]
        entries = [entry for entry in composed if isinstance(entry, Entry)]
        if len(entries) == len(composed):
            found.append(Refile(hole.epoch, tuple(await _with_details(database, entries))))
    return found


async def _with_details(database: asyncpg.Connection, entries: Sequence[Entry]) -> list[Entry]:
    """Give derived bookings what their buyers wrote, which their rows still have."""
    made = {
        record.booking_id: record.event_id
        for entry in entries
        if isinstance(record := entry.record, Booked | Confirmed)
    }
    details = await bookings.details(database, made)
    found = []
    for entry in entries:
        derived: Any = entry.record
        detail = details.get(getattr(derived, "booking_id", ""))
        if isinstance(derived, Booked | Confirmed) and detail is not None:
            words = {"special_requests": detail[0], "metadata": msgspec.json.decode(detail[1])}
            derived = msgspec.structs.replace(derived, detail=msgspec.convert(words, Detail))
            entry = Entry(entry.seq, derived, encode(derived))  # noqa: PLW2901
        found.append(entry)
    return found


async def write(
    database: asyncpg.Connection, shard: int, refiles: Iterable[Refile], *, holder: str
) -> None:
    """Write records into the archive again; each part in a transaction of its own."""
    for refile in refiles:
        await ledger.refile(
            database,
            shard=shard,
            holder=holder,
            epoch=refile.epoch,
            first_seq=refile.first_seq,
            entries=refile.entries,
        )

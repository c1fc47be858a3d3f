"""
Redo: acknowledged records that only a worker's memory still knows, and how they join the ledger.

A worker that sees its shard fenced writes what it holds (`write`); recovery merges it (`merge`)
behind what PostgreSQL has, in order, under its claim. A record that contradicts the ledger goes to
`conflicts` and is never dropped in silence (F5, F10, F29). What nobody knows any more becomes a
`lost` record, so that the journal in PostgreSQL has no gap (I7).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

import asyncpg
import msgspec

from engine.records import Booked, Cancelled, Confirmed, Entry, Lost, Record, encode, examine
from store import ledger
from store.sql import Executor, columns, query

#: Records that are written in one transaction.
RECORDS_MAX = 1_000
#: Records that a journal can be ahead of PostgreSQL; sales pause at the backlog long before.
GAP_RECORDS_MAX = 10_000_000


class Row(NamedTuple):
    """An acknowledged record at its place in the journal."""

    epoch: int
    seq: int
    #: As in the journal: check and JSON.
    record: str

    @property
    def decoded(self) -> Record | str:
        """The record, or what is wrong with it."""
        return examine(self.record.encode())


@dataclass(slots=True)
class Merged:
    """What became of redo records."""

    #: Written to the ledger.
    found: int = 0
    #: Were there already.
    known: int = 0
    conflicts: int = 0
    #: Places in the journal of which nobody knows what stood there.
    lost: int = 0
    #: The last place merged, by epoch.
    last_seqs: dict[int, int] = field(default_factory=dict)


async def write(database: Executor, *, shard: int, worker: str, rows: Sequence[Row]) -> None:
    """
    Keep what a worker knows to be acknowledged until recovery has merged it.

    Idempotency: by shard, epoch, seq and worker; may be repeated after any error.

    Args:
        worker: Unique name of the process.

        rows: At least one, in any order.
    """
    epochs, seqs, records = (list(column) for column in zip(*rows, strict=True))
    await database.execute(query("write_redo"), shard, worker, epochs, seqs, records)


async def has_rows(database: Executor, shard: int) -> bool:
    """Tell whether a worker has left records that are not merged."""
    return bool(await database.fetchval(query("has_redo"), shard))


async def read(database: Executor, shard: int) -> list[Row]:
    """Return all records that workers left, in order, each once."""
    return [Row(*row) for row in await database.fetch(query("read_redo"), shard)]


async def forget(database: Executor, shard: int, rows: Sequence[Row]) -> None:
    """Drop records that stand in the ledger now."""
    if rows:
        await database.execute(query("delete_redo"), shard, *columns(list(rows), 3))


async def merge(
    connection: asyncpg.Connection,
    *,
    shard: int,
    holder: str,
    epochs: Collection[int],
    rows: Iterable[Row],
) -> Merged:
    """
    Bring redo records into the ledger, each where it stood in the journal.

    Atomicity: per batch of `RECORDS_MAX` places one transaction with its rows, conflicts and the
        checkpoint. Records that are done are deleted from `redo` in the same transaction.
    Idempotency: what is merged is known the next time; a crash at any point loses nothing.

    Args:
        connection: A connection of one's own; not in a transaction.

        holder: Name of the recovery that claims the shard.

        epochs: Epochs that were ever open, before this recovery.

        rows: From `read`, and perhaps from further sources, in any order.

    Raises:
        ledger.LedgerError: the claim was lost.
    """
    merged = Merged()
    ordered = sorted(set(rows))
    judge = await _Judge.prepare(connection, ordered)
    for number, its in groupby(ordered, key=lambda row: row.epoch):
        epoch = _Epoch(connection, shard, number, holder, judge, merged)
        if number in epochs:
            merged.last_seqs[number] = await epoch.merge(list(its))
        else:
            strangers = list(its)
            why = f"epoch {number} was never open"
            await epoch.write(0, [], [(row, why) for row in strangers], strangers)
    return merged


class _Judge:
    """Says of each record, in order, whether the ledger can take it; remembers what it took."""

    def __init__(self) -> None:
        self._bookings: dict[str, dict[str, Any]] = {}
        self._left: dict[tuple[str, int], int] = {}
        self._taken: set[tuple[str, str]] = set()
        #: What bookings of this merge took, for their cancellations.
        self._made: dict[str, Booked | Confirmed] = {}

    @classmethod
    async def prepare(cls, connection: asyncpg.Connection, rows: Sequence[Row]) -> _Judge:
        """Read what the records are judged by."""
        judge = cls()
        records = [record for row in rows if isinstance(record := row.decoded, Record)]
        sales = [record for record in records if isinstance(record, Booked | Confirmed)]
        named = sorted(
            {
                (record.event_id, record.booking_id)
                for record in records
                if isinstance(record, Booked | Confirmed | Cancelled)
            }
        )
        events = sorted({event_id for event_id, _ in named})
        seats = sorted(
            {
                (record.event_id, seat)
                for record in sales
                for item in record.items
                for seat in item.seat_ids
            }
        )
        for row in await connection.fetch(query("redo_bookings"), *columns(named, 2)):
            judge._bookings[row["id"]] = dict(row)
        for row in await connection.fetch(query("redo_capacities"), events):
            judge._left[row["event_id"], row["tier_no"]] = int(row["left_places"])
        for row in await connection.fetch(query("redo_seats"), *columns(seats, 2)):
            judge._taken.add((row["event_id"], row["seat_id"]))
        return judge

    def is_known(self, row: Row, record: Record) -> bool:
        """Tell whether the ledger has the very same record, or the same booking made anew."""
        booking = self._bookings.get(getattr(record, "booking_id", ""))
        if booking is None:
            return False
        if isinstance(record, Cancelled):
            return bool(booking["status"] == "cancelled")
        return isinstance(record, Booked | Confirmed) and (
            (booking["user_id"], booking["fingerprint"]) == (record.user_id, record.fingerprint)
        )

    def refuse(self, record: Record | str) -> str:
        """Say why the ledger cannot take a record; empty if it can, and then it has taken it."""
        if isinstance(record, str):
            return record
        if isinstance(record, Booked | Confirmed):
            return self._refuse_booking(record)
        if isinstance(record, Cancelled):
            return self._refuse_end(record)
        return f"a {type(record).__name__} cannot be merged without what came before it"

    def _refuse_booking(self, record: Booked | Confirmed) -> str:
        if record.booking_id in self._bookings or record.booking_id in self._made:
            return "the key has another booking"
        for item in record.items:
            place = (record.event_id, item.tier_no)
            if place not in self._left:
                return f"tier {item.tier_no} of the event is not on sale"
            if self._left[place] < item.quantity:
                return f"tier {item.tier_no} has {self._left[place]} places left"
            taken = [seat for seat in item.seat_ids if (record.event_id, seat) in self._taken]
            if taken:
                return f"somebody else has {', '.join(taken)}"
        self._move(record, -1)
        self._made[record.booking_id] = record
        return ""

    def _refuse_end(self, record: Cancelled) -> str:
        made = self._made.pop(record.booking_id, None)
        booking = self._bookings.get(record.booking_id)
        if made is None and booking is None:
            return "there is no such booking"
        if booking is not None:
            booking["status"] = "cancelled"
        self._move(record, 1)
        return ""

    def _move(self, record: Booked | Confirmed | Cancelled, sign: int) -> None:
        for item in record.items:
            place = (record.event_id, item.tier_no)
            self._left[place] = self._left.get(place, 0) + sign * item.quantity
            seats = {(record.event_id, seat) for seat in item.seat_ids}
            self._taken = self._taken | seats if sign < 0 else self._taken - seats


def _is_same(one: Record, other: Record | str) -> bool:
    """Tell whether two records say the same: old workers write version 1."""
    if isinstance(other, str) or type(one) is not type(other):
        return False
    return bool(msgspec.structs.replace(other, version=one.version) == one)


@dataclass(slots=True)
class _Epoch:
    """Merges the records of one epoch."""

    connection: asyncpg.Connection
    shard: int
    epoch: int
    holder: str
    judge: _Judge
    merged: Merged

    async def merge(self, rows: list[Row]) -> int:
        """Write what the ledger does not have; return the new checkpoint."""
        last_seq = await ledger.read_checkpoint(self.connection, shard=self.shard, epoch=self.epoch)
        behind = [row for row in rows if row.seq <= last_seq]
        conflicts = []
        for row in behind:
            record = row.decoded
            if not isinstance(record, str) and self.judge.is_known(row, record):
                self.merged.known += 1
            else:
                conflicts.append((row, "another record stands at its place in the ledger"))
        end_seq = last_seq + GAP_RECORDS_MAX
        far = [row for row in rows if row.seq > end_seq]
        conflicts += [(row, "no journal was ever so far ahead of the ledger") for row in far]
        await self.write(last_seq, [], conflicts, behind + far)
        ahead = [row for row in rows if last_seq < row.seq <= end_seq]
        while ahead:
            until_seq = last_seq + RECORDS_MAX
            part = [row for row in ahead if row.seq <= until_seq]
            ahead = ahead[len(part) :]
            last_seq = await self._merge_part(last_seq, part, until_seq if ahead else None)
        return last_seq

    async def _merge_part(self, last_seq: int, rows: list[Row], until_seq: int | None) -> int:
        conflicts: list[tuple[Row, str]] = []
        entries: dict[int, Entry] = {}
        known: set[int] = set()
        for row in rows:
            record = row.decoded
            if row.seq in entries and _is_same(entries[row.seq].record, record):
                continue
            if row.seq in entries:
                conflicts.append((row, "another worker knows another record at its place"))
            elif not isinstance(record, str) and self.judge.is_known(row, record):
                known.add(row.seq)
            elif reason := self.judge.refuse(record):
                conflicts.append((row, reason))
            else:
                assert not isinstance(record, str)
                entries[row.seq] = Entry(row.seq, record, row.record.encode())
        contradicted = {row.seq for row, _ in conflicts}
        new_seq = until_seq or rows[-1].seq
        at_ms = entries[min(entries)].record.at_ms if entries else time.time_ns() // 1_000_000
        batch = []
        for seq in range(last_seq + 1, new_seq + 1):
            if seq in entries:
                at_ms = entries[seq].record.at_ms
                batch.append(entries[seq])
            else:
                why: Any = "conflict" if seq in contradicted else "unknown"
                filler = Lost(version=1, at_ms=at_ms, event_id="", why=why)
                batch.append(Entry(seq, filler, encode(filler)))
        self.merged.found += len(entries)
        self.merged.known += len(known)
        self.merged.lost += len(
            {*range(last_seq + 1, new_seq + 1)} - entries.keys() - contradicted - known
        )
        await self.write(last_seq, batch, conflicts, rows)
        return new_seq

    async def write(
        self, last_seq: int, batch: list[Entry], conflicts: list[tuple[Row, str]], done: list[Row]
    ) -> None:
        """Write records and conflicts, and delete what is done, in one transaction."""
        self.merged.conflicts += len(conflicts)
        async with self.connection.transaction():
            if batch:  # Marks of what is lost as well: a Redis that comes back may have it.
                await self.connection.execute(query("note_merged"), self.shard)
            if conflicts:
                lines = [(*row, reason) for row, reason in conflicts]
                await self.connection.execute(
                    query("insert_conflicts"), self.shard, *columns(lines, 4)
                )
            if batch:
                await ledger.write(
                    self.connection,
                    shard=self.shard,
                    epoch=self.epoch,
                    last_seq=last_seq,
                    entries=batch,
                    holder=self.holder,
                )
            await self.connection.execute(query("delete_redo"), self.shard, *columns(done, 3))

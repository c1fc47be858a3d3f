"""
Redo: acknowledged records that only a worker's memory still knows, and how they join the ledger.

A worker that sees its shard fenced writes what it holds (`write`); recovery merges it (`merge`)
behind what PostgreSQL has, in order, under its claim, as far as the ledger can take it
(`store.redo_judge`). A record that contradicts the ledger goes to `conflicts` and is never dropped
in silence (F5, F10, F29). What nobody knows any more becomes a `lost` record, so that the journal
in PostgreSQL has no gap (I7). Who knows it all the same, but comes when its place was given up, is
heard behind all others, and what it tells becomes a new record at the end (F61).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal, NamedTuple

import asyncpg
import msgspec

from engine.records import Entry, Lost, Record, encode, examine
from store import ledger, reigns
from store.redo_judge import Judge
from store.sql import Executor, columns, query

#: Records that are written in one transaction.
RECORDS_MAX = 1_000
#: How long a hold lives at most, in ms, where the caller does not say.
HOLD_LIFE_MAX_MS = 1_800_000
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
    #: Of those found, such as came when their places were given up.
    late: int = 0
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


async def open_reign(database: Executor, shard: int) -> reigns.ReignRow | None:
    """
    Return the shard's row if a door may open under it; else None.

    It must be open, and no worker's record may wait to be merged: its place looks free, and what a
    receipt is for may be among them (F70).

    Raises:
        ReaderTooOld: see `reigns.read`.
    """
    row = await reigns.read(database, shard)
    # Asked second: what is merged by then was merged under a claim that ended that reign.
    if row is None or row.state != "open" or await has_rows(database, shard):
        return None
    return row


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
    hold_life_max_ms: int = HOLD_LIFE_MAX_MS,
) -> Merged:
    """
    Bring redo records into the ledger, each where it stood in the journal, or else at its end.

    Atomicity: per batch of `RECORDS_MAX` places one transaction with its rows, conflicts and the
        checkpoint. Records that are done are deleted from `redo` in the same transaction.
    Idempotency: what is merged is known the next time; a crash at any point loses nothing.

    Args:
        connection: A connection of one's own; not in a transaction.

        holder: Name of the recovery that claims the shard.

        epochs: Epochs that were ever open, before this recovery.

        rows: From `read`, and perhaps from further sources, in any order.

        hold_life_max_ms: Longest life of a hold: how far back the journal is read for holds.

    Raises:
        ledger.LedgerError: the claim was lost.
    """
    merged = Merged()
    ordered = sorted(set(rows))
    judge = await Judge.prepare(
        connection,
        shard,
        [record for row in ordered if not isinstance(record := row.decoded, str)],
        hold_life_max_ms=hold_life_max_ms,
    )
    late: list[Row] = []
    for number, its in groupby(ordered, key=lambda row: row.epoch):
        epoch = _Epoch(connection, shard, number, holder, judge, merged, late)
        if number in epochs:
            merged.last_seqs[number] = await epoch.merge(list(its))
        else:
            strangers = list(its)
            why = f"epoch {number} was never open"
            await epoch.write(0, [], [(row, why) for row in strangers], strangers)
    if late:
        last = _Epoch(connection, shard, max(epochs), holder, judge, merged, late)
        merged.last_seqs[max(epochs)] = await last.append()
    return merged


def is_same(one: Record | str | None, other: Record | str) -> bool:
    """Tell whether two records say the same: old workers write version 1."""
    if one is None or isinstance(one, str) or isinstance(other, str):
        return False
    return bool(type(one) is type(other) and _as_of(one, other.version) == other)


def _as_of(record: Record, version: Literal[1, 2]) -> Record:
    return msgspec.structs.replace(record, version=version)


@dataclass(slots=True)
class _Epoch:
    """Merges the records of one epoch."""

    connection: asyncpg.Connection
    shard: int
    epoch: int
    holder: str
    judge: Judge
    merged: Merged
    #: Takes what is to be heard at the end.
    late: list[Row]

    async def merge(self, rows: list[Row]) -> int:
        """Write what the ledger does not have; return the new checkpoint."""
        last_seq = await ledger.read_checkpoint(self.connection, shard=self.shard, epoch=self.epoch)
        behind = [row for row in rows if row.seq <= last_seq]
        conflicts, done = await self._look_back(behind)
        end_seq = last_seq + GAP_RECORDS_MAX
        far = [row for row in rows if row.seq > end_seq]
        conflicts += [(row, "no journal was ever so far ahead of the ledger") for row in far]
        await self.write(last_seq, [], conflicts, done + far)
        ahead = [row for row in rows if last_seq < row.seq <= end_seq]
        while ahead:
            until_seq = last_seq + RECORDS_MAX
            part = [row for row in ahead if row.seq <= until_seq]
            ahead = ahead[len(part) :]
            last_seq = await self._merge_part(last_seq, part, until_seq if ahead else None)
        return last_seq

    async def append(self) -> int:
        """Hear what came late, and write what can be taken; return the new checkpoint."""
        last_seq = await ledger.read_checkpoint(self.connection, shard=self.shard, epoch=self.epoch)
        heard: dict[tuple[int, int], Record | str] = {}
        for start in range(0, len(self.late), RECORDS_MAX):
            rows = self.late[start : start + RECORDS_MAX]
            batch: list[Entry] = []
            conflicts: list[tuple[Row, str]] = []
            for row in rows:
                record, place = row.decoded, (row.epoch, row.seq)
                assert not isinstance(record, str), "it was looked at"
                # Perhaps a worker of another version has told the very same.
                is_heard = is_same(heard.get(place), record)
                taken = "" if is_heard else self.judge.take_late(record, place)
                if not taken:
                    self.merged.known += 1
                elif isinstance(taken, str):
                    conflicts.append((row, taken))
                else:
                    raw = row.record.encode() if taken is record else encode(taken)
                    batch.append(Entry(last_seq + len(batch) + 1, taken, raw))
                    heard[place] = record
            self.merged.found += len(batch)
            self.merged.late += len(batch)
            await self.write(last_seq, batch, conflicts, rows)
            last_seq += len(batch)
        return last_seq

    async def _look_back(self, rows: list[Row]) -> tuple[list[tuple[Row, str]], list[Row]]:
        """
        Compare records with what the ledger has in their places; what comes late waits.

        Returns:
            Conflicts, and the records that are done with.
        """
        conflicts: list[tuple[Row, str]] = []
        done: list[Row] = []
        stands = await self._archived({row.seq for row in rows})
        for row in rows:
            record, there = row.decoded, examine(stands.get(row.seq, "").encode())
            if isinstance(record, str):
                conflicts.append((row, record))
            elif is_same(there, record) or self.judge.is_known(record):
                self.merged.known += 1
            elif isinstance(there, Lost) and there.why == "unknown":
                self.late.append(row)
                continue
            else:
                conflicts.append((row, "another record stands at its place in the ledger"))
            done.append(row)
        return conflicts, done

    async def _archived(self, seqs: set[int]) -> dict[int, str]:
        """Return what the journal's archive has in some places."""
        if not seqs:
            return {}
        batches = await self.connection.fetch(
            query("redo_journal"), self.shard, self.epoch, sorted(seqs)
        )
        return {
            seq: line
            for batch in batches
            for seq, line in enumerate(batch["records"].split("\n"), start=batch["first_seq"])
            if seq in seqs
        }

    async def _merge_part(self, last_seq: int, rows: list[Row], until_seq: int | None) -> int:
        conflicts: list[tuple[Row, str]] = []
        entries: dict[int, Entry] = {}
        known: set[int] = set()
        waits: set[Row] = set()
        for row in rows:
            record = row.decoded
            if row.seq in entries and is_same(entries[row.seq].record, record):
                continue
            if row.seq in entries:
                conflicts.append((row, "another worker knows another record at its place"))
            elif not isinstance(record, str) and self.judge.is_known(record):
                known.add(row.seq)
            elif not isinstance(record, str) and self.judge.stands_before(record, row[:2]):
                waits.add(row)
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
                why: Literal["conflict", "unknown"]
                why = "conflict" if seq in contradicted else "unknown"
                filler = Lost(version=1, at_ms=at_ms, event_id="", why=why)
                batch.append(Entry(seq, filler, encode(filler)))
        self.merged.found += len(entries)
        self.merged.known += len(known)
        self.merged.lost += len(
            {*range(last_seq + 1, new_seq + 1)}
            - entries.keys()
            - contradicted
            - known
            - {row.seq for row in waits}
        )
        self.late += sorted(waits)
        await self.write(last_seq, batch, conflicts, [row for row in rows if row not in waits])
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

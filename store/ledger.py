"""
The ledger writer: journal records become rows, in order, exactly once.

Persister and recovery share it. One transaction holds the rows, the journal's own text, and the
moved checkpoint, so that where to read on is decided by what was written (I4, I7). Safety rests
on the checkpoint's compare-and-set and on the shard's epoch row, held FOR SHARE until commit: a
writer that was overtaken changes nothing (F25, F26, F27, I13).

A record that cannot become rows does not stop the others: it is parked with its bytes
(`store.quarantine`), its place in the journal is marked, and the shard's sales are stopped
(F9, F28, F29). One that makes once more what its own request had made is no such record: the first
one stands, and the event is loaded anew (F65).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import asyncpg

from engine.records import (
    Blocked,
    Booked,
    Confirmed,
    Damaged,
    Entry,
    Lost,
    Published,
    Record,
    Unblocked,
    encode,
)
from store import damage, quarantine, rows, seats, waitlist
from store.quarantine import Parked
from store.sql import columns, moment, query


class LedgerError(Exception):
    """The ledger did not take the batch; nothing was written."""


class EpochOver(LedgerError):
    """The shard is no longer this writer's: neither open nor frozen under its epoch, or claimed."""


class CheckpointMoved(LedgerError):
    """Another writer has moved the checkpoint; read it again."""


class JournalGap(LedgerError):
    """The records do not continue the checkpoint one by one: some are lost (F30, F32)."""


class Place(NamedTuple):
    """How far PostgreSQL is in the journal of an epoch."""

    last_seq: int
    #: Of all records up to there.
    bytes: int


class Written(NamedTuple):
    """Where a batch ended."""

    place: Place
    #: Sales of the shard must stop, or have stopped: a human must look.
    is_frozen: bool


async def find_place(
    connection: asyncpg.Connection, *, shard: int, epoch: int
) -> tuple[Place, int]:
    """
    Return how far PostgreSQL is, making the checkpoint at 0 if there is none.

    Waits for a commit under way whose outcome nobody knows, and then tells what came of it (F26).

    Returns:
        The checkpoint, and where the journal's own rows end. That the two are unlike may be of the
        wait; `store.ends.settle` looks again, and mends it if it is so.
    """
    await connection.execute(query("ensure_checkpoint"), shard, epoch)
    row = await connection.fetchrow(query("lock_place"), shard, epoch)
    assert row is not None
    return Place(row["last_seq"], row["bytes"]), row["end_seq"]


async def read_place(connection: asyncpg.Connection, *, shard: int, epoch: int) -> Place:
    """Return how far PostgreSQL is by its checkpoint, as `find_place` does."""
    place, _ = await find_place(connection, shard=shard, epoch=epoch)
    return place


async def read_checkpoint(connection: asyncpg.Connection, *, shard: int, epoch: int) -> int:
    """Return the last record that PostgreSQL has, as `read_place` does."""
    return (await read_place(connection, shard=shard, epoch=epoch)).last_seq


async def write(
    connection: asyncpg.Connection,
    *,
    shard: int,
    epoch: int,
    last_seq: int,
    entries: Sequence[Entry | Damaged],
    holder: str | None = None,
) -> int:
    """Write one batch as `write_batch` does; return the new checkpoint."""
    written = await write_batch(
        connection, shard=shard, epoch=epoch, last_seq=last_seq, entries=entries, holder=holder
    )
    return written.place.last_seq


async def write_batch(
    connection: asyncpg.Connection,
    *,
    shard: int,
    epoch: int,
    last_seq: int,
    entries: Sequence[Entry | Damaged],
    holder: str | None = None,
) -> Written:
    """
    Write one batch of records and move the checkpoint behind it.

    Atomicity: one transaction.
    Idempotency: a batch that is already written raises `CheckpointMoved` and changes nothing.
    Cost: about ten round trips, whatever the size of the batch; with a record that cannot be
    written, some more per halving of the batch until it is found.

    Args:
        connection: A connection of one's own; not in a transaction.

        shard: Number of the shard.

        epoch: Epoch whose journal the entries come from.

        last_seq: The checkpoint that the entries continue.

        entries: At least one; seqs `last_seq + 1`, `last_seq + 2`, ...

        holder: Name of the recovery that claims the shard, which then freezes it if a record is
            parked; None for the persister, which may write only while the shard is open, or
            frozen, under *epoch*.

    Returns:
        The new checkpoint, and whether the shard is frozen.

    Raises:
        EpochOver, CheckpointMoved, JournalGap: see their docstrings.
        asyncpg.PostgresError: PostgreSQL could not; nothing was written.
    """
    for expected, entry in enumerate(entries, start=last_seq + 1):
        if entry.seq != expected:
            raise JournalGap(
                f"shard {shard} epoch {epoch}: record {expected} is missing, next is {entry.seq}"
            )
    writer = _Writer(connection, shard, epoch, last_seq, holder)
    sound = [entry for entry in entries if isinstance(entry, Entry)]
    if len(sound) == len(entries):
        try:
            return await writer.write_all(sound)
        except rows.REFUSALS:
            pass  # Nothing was written; now find out which records cannot be.
    return await writer.write_what_can_be(entries, sound)


async def rederive(
    connection: asyncpg.Connection,
    *,
    shard: int,
    holder: str,
    event_id: str,
    booking_ids: Sequence[str],
    entries: Mapping[int, Sequence[Entry]],
) -> None:
    """
    Write the rows of some bookings again, from the records that the journal has of them.

    Atomicity: one transaction.
    Idempotency: the same records make the same rows.
    Cost: some ten round trips per epoch.

    Args:
        connection: A connection of one's own; not in a transaction.

        shard: Number of the shard.

        holder: Name of the recovery that claims the shard: nobody else may.

        event_id: Event of the bookings.

        booking_ids: Bookings whose rows are put away.

        entries: All records of these bookings and their tickets, by epoch, in order.

    Raises:
        EpochOver: the claim was lost.
        asyncpg.PostgresError, BookingTaken: a row was refused; nothing was changed.
    """
    async with connection.transaction():
        await _hold_reign(connection, shard, 0, holder)
        await connection.execute(query("drop_tickets_of"), event_id, booking_ids)
        await connection.execute(query("drop_scans_of"), event_id, booking_ids)
        at = [(epoch, entry.seq) for epoch, its in entries.items() for entry in its]
        await connection.execute(query("drop_scans_at"), event_id, *columns(at, 2))
        await connection.execute(query("drop_items_of"), event_id, booking_ids)
        await connection.execute(query("drop_bookings_of"), event_id, booking_ids)
        for epoch in sorted(entries):
            await rows.write(connection, shard, epoch, entries[epoch], copies=False)


async def requeue(
    connection: asyncpg.Connection,
    *,
    shard: int,
    holder: str,
    event_id: str,
    entry_ids: Sequence[str],
    entries: Mapping[int, Sequence[Entry]],
) -> None:
    """Write some waitlist entries again, from all their records by epoch; as `rederive`."""
    async with connection.transaction():
        await _hold_reign(connection, shard, 0, holder)
        await waitlist.rewrite(connection, shard, event_id, entry_ids, entries)


async def refile(
    connection: asyncpg.Connection,
    *,
    shard: int,
    holder: str,
    epoch: int,
    first_seq: int,
    entries: Sequence[Entry],
) -> None:
    """
    Write records into the journal's archive that it had and has lost; rows are left as they are.

    Batches that overlap these records are put away: each of their sound records must be among them.

    Atomicity: one transaction.
    Idempotency: the same records make the same rows.

    Raises:
        EpochOver: the claim was lost.
        JournalGap: the records do not follow each other.
    """
    last_seq = first_seq + len(entries) - 1
    if [entry.seq for entry in entries] != list(range(first_seq, last_seq + 1)):
        raise JournalGap(f"records {first_seq} to {last_seq} of epoch {epoch} are not all there")
    async with connection.transaction():
        await _hold_reign(connection, shard, 0, holder)
        await connection.execute(query("drop_batches"), shard, epoch, first_seq, last_seq)
        await connection.execute(
            query("insert_journal"),
            shard,
            epoch,
            first_seq,
            last_seq,
            entries[0].record.at_ms,
            b"\n".join(entry.raw for entry in entries).decode(),
        )


async def reblock(
    connection: asyncpg.Connection,
    *,
    shard: int,
    holder: str,
    event_id: str,
    records: Sequence[Blocked | Unblocked],
) -> None:
    """Write an event's blocked seats again, from all records of them; as `rederive` otherwise."""
    async with connection.transaction():
        await _hold_reign(connection, shard, 0, holder)
        await connection.execute(query("drop_blocked_of"), event_id)
        if records:
            await seats.write_blocked(connection, records)


async def restate(
    connection: asyncpg.Connection,
    *,
    shard: int,
    holder: str,
    sale: Published,
    status: str,
    cancelled_at_ms: int | None,
) -> None:
    """Write an organizer's rows as the records have the *sale*; as `rederive` otherwise."""
    promos = [
        (promo.code, promo.uses_max, promo.percent, promo.amount_minor, promo.tier_nos)
        for promo in sale.promos
    ]
    rules = sale.rules if sale.version > 1 else None  # Older records do not say.
    after_end = None if rules is None else rules.after_end
    rows = [
        (
            tier.tier_no,
            tier.price_minor,
            tier.capacity,
            tier.order_max,
            tier.order_min,
            tier.person_max,
            moment(tier.opens_at_ms) if tier.opens_at_ms else None,
            moment(tier.closes_at_ms) if tier.closes_at_ms else None,
            bool(tier.is_hidden),
            None if after_end is None else f"t{tier.tier_no}t" in after_end,
        )
        for tier in sale.tiers
    ]
    async with connection.transaction():
        await _hold_reign(connection, shard, 0, holder)
        await connection.execute(
            query("restate_event"),
            sale.event_id,
            shard,
            status,
            moment(sale.opens_at_ms),
            moment(sale.closes_at_ms),
            sale.person_max,
            None if cancelled_at_ms is None else moment(cancelled_at_ms),
            moment(sale.at_ms),
            None if rules is None else rules.transfers,
            None if rules is None else rules.offer_ttl_ms,
            None if rules is None else rules.pools,
        )
        await connection.execute(query("restate_tiers"), sale.event_id, *columns(rows))
        await connection.execute(query("drop_promos_of"), sale.event_id)
        await connection.executemany(
            query("insert_promo_of"), [(sale.event_id, *promo) for promo in promos]
        )


class _Writer:
    """Writes one batch: as a whole, or but for the records that cannot be written."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        shard: int,
        epoch: int,
        last_seq: int,
        holder: str | None,
    ) -> None:
        self._connection = connection
        self._shard = shard
        self._epoch = epoch
        self._last_seq = last_seq
        self._holder = holder
        self._parked: dict[int, Parked] = {}
        #: What stands in the archive for records that made once more what was there.
        self._repeated: dict[int, bytes] = {}

    async def write_all(self, entries: Sequence[Entry]) -> Written:
        """Write every record, or nothing."""
        connection, shard, epoch = self._connection, self._shard, self._epoch
        async with connection.transaction():
            is_frozen = await self._enter()
            await rows.write(connection, shard, epoch, entries, copies=True)
            return await self._finish(entries, is_frozen=is_frozen)

    async def write_what_can_be(
        self, entries: Sequence[Entry | Damaged], sound: Sequence[Entry]
    ) -> Written:
        """Write the records that can be written, in order, and park the others (F28)."""
        self._parked = {
            entry.seq: Parked(entry.seq, entry.raw, entry.reason)
            for entry in entries
            if isinstance(entry, Damaged)
        }
        async with self._connection.transaction():
            is_frozen = await self._enter()
            if sound:
                await self._write_or_park(sound)
            if self._parked:
                await quarantine.park(
                    self._connection, self._shard, self._epoch, list(self._parked.values())
                )
                if self._holder is None:
                    first = next(iter(self._parked.values()))
                    reason = f"record {first.seq} of epoch {self._epoch} cannot be persisted: "
                    await self._connection.execute(
                        query("freeze_open"),
                        self._shard,
                        self._epoch,
                        quarantine.said(reason + first.reason),
                    )
                is_frozen = True
            return await self._finish(entries, is_frozen=is_frozen)

    async def _write_or_park(self, entries: Sequence[Entry]) -> None:
        """Write these records; where PostgreSQL refuses, halve until the one is found."""
        try:
            async with self._connection.transaction():
                await rows.write(self._connection, self._shard, self._epoch, entries, copies=False)
        except rows.REFUSALS as error:
            if len(entries) > 1:
                half = len(entries) // 2
                await self._write_or_park(entries[:half])
                await self._write_or_park(entries[half:])
                return
            seq, raw = entries[0].seq, entries[0].raw
            if await self._is_repeated(entries[0].record, error):
                await self._pass_repeated(entries[0])
                return
            is_conflict = isinstance(error, asyncpg.UniqueViolationError | rows.BookingTaken)
            detail = getattr(error, "detail", None)
            reason = f"{type(error).__name__}: {error}" + (f" ({detail})" if detail else "")
            self._parked[seq] = Parked(seq, raw, reason, is_conflict=is_conflict)

    async def _is_repeated(self, record: Record, error: Exception) -> bool:
        """
        Tell whether a record makes once more what stands there: an honest repetition (F65).

        Redis had lost the row of it, and could not know it again. A cancelled booking is no such
        case: its buyer was told that it is confirmed, and people must judge.
        """
        if isinstance(error, waitlist.EntryTaken):
            return True
        if not isinstance(record, Booked | Confirmed) or not isinstance(error, rows.BookingTaken):
            return False
        known = await self._connection.fetchrow(
            query("redo_bookings"), [record.event_id], [record.booking_id]
        )
        return known is not None and (known["user_id"], known["fingerprint"], known["status"]) == (
            record.user_id,
            record.fingerprint,
            "confirmed",
        )

    async def _pass_repeated(self, entry: Entry) -> None:
        """Leave what is there, and have the event loaded anew: Redis has lost a row of it."""
        record = entry.record
        lost = Lost(version=1, at_ms=record.at_ms, event_id="", why="conflict")
        self._repeated[entry.seq] = encode(lost)
        await damage.note(self._connection, self._shard, record.event_id, [damage.ROWS])

    async def _enter(self) -> bool:
        """Hold the shard and its checkpoint still; return whether the shard is frozen."""
        stored = await self._connection.fetchval(query("lock_checkpoint"), self._shard, self._epoch)
        state = await _hold_reign(self._connection, self._shard, self._epoch, self._holder)
        if stored != self._last_seq:
            raise CheckpointMoved(f"checkpoint is {stored}, not {self._last_seq}")
        return state == "frozen"

    async def _finish(self, entries: Sequence[Entry | Damaged], *, is_frozen: bool) -> Written:
        """Keep the journal's own text, with a mark for every parked record; move the checkpoint."""
        first_seq, new_seq = entries[0].seq, entries[-1].seq
        instead = {seq: one.mark for seq, one in self._parked.items()} | self._repeated
        lines = (
            [instead.get(entry.seq, entry.raw) for entry in entries]
            if instead
            else [entry.raw for entry in entries]
        )
        first_at_ms = next(
            (entry.record.at_ms for entry in entries if isinstance(entry, Entry)), None
        )
        await self._connection.execute(
            query("insert_journal"),
            self._shard,
            self._epoch,
            first_seq,
            new_seq,
            first_at_ms,
            b"\n".join(lines).decode(),
        )
        total = await self._connection.fetchval(
            query("move_checkpoint"),
            self._shard,
            self._epoch,
            self._last_seq,
            new_seq,
            sum(len(entry.raw) + 1 for entry in entries),
        )
        if total is None:
            raise CheckpointMoved(f"checkpoint left {self._last_seq} during the batch")
        return Written(Place(new_seq, total), is_frozen)


async def _hold_reign(
    connection: asyncpg.Connection, shard: int, epoch: int, holder: str | None
) -> str:
    """Hold the shard's row FOR SHARE; return its state if this writer may write (I13)."""
    row = await connection.fetchrow(query("share_reign"), shard)
    if row is None:
        raise EpochOver(f"shard {shard} epoch {epoch}: there is no such shard")
    if holder is None:
        # Of a frozen epoch all that was acknowledged is still taken down.
        allowed = row["state"] in {"open", "frozen"} and row["epoch"] == epoch
    else:
        allowed = row["state"] == "recovering" and row["holder"] == holder
    if not allowed:
        raise EpochOver(f"shard {shard} epoch {epoch}: row is {dict(row)}")
    state: str = row["state"]
    return state

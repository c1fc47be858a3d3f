"""
Reading both stores so that they can be compared while sales run, without a torn read.

For a group of events of one shard:

1. Redis' epoch; then PostgreSQL's checkpoint C and rows, in one snapshot. What was drained from
   earlier epochs stands in it, since an epoch begins after the drain.
2. Redis' counters in one MULTI/EXEC: they are exactly as of record W, `meta.seq`.
3. The records C+1..W from the stream. What the persister trimmed meanwhile it has committed
   before, so it is read from the journal in PostgreSQL instead; no retry can starve.
4. The hashes `persons` and then `bookings` with HSCAN. A booking's value tells the place of each
   of its changes, and none is ever removed, so what it was at W is known exactly.

If the epoch changed on the way, the reading is `Torn` and begins anew. Plain read commands only,
so that a fenced shard can be read as well.

Memory: O(bookings of the group), about 2 kB each, and the group's share of the records C+1..W.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

import asyncpg
from redis.asyncio import Redis

from engine import keys
from engine.errors import CorruptRecord
from engine.records import (
    Blocked,
    Booked,
    Cancelled,
    CapacitySet,
    CheckedIn,
    CheckInUndone,
    Closed,
    Confirmed,
    Damaged,
    Entry,
    EventCancelled,
    Expired,
    Extended,
    Held,
    ItemCancelled,
    Joined,
    Left,
    Lost,
    Offered,
    Published,
    Record,
    Released,
    Reopened,
    Stalled,
    Transferred,
    Unblocked,
    read_call,
)
from engine.values import (
    CANCELLED,
    CONFIRMED,
    Booking,
    Hold,
    Ticket,
    WaitEntry,
    items_text,
    parse_booking,
    parse_entry,
    parse_hold,
    parse_ticket,
)
from reconciler.event.gate import fold_sale, fold_tiers, ticket_of
from reconciler.event.view import Broken, BrokenRecords, EventView, ListView, Row, ShardView
from reconciler.judge import waitlist
from reconciler.judge.proof import JournalReader, Ledger
from reconciler.judge.seats import fold_blocked_tiers, ticket_text
from store import audit, reigns
from store import waitlist as store_waitlist

#: Fields that one HSCAN call asks for, and stream entries that one XRANGE brings.
SCAN_COUNT = 1_000
#: Orphaned lines that are read; one is enough to fail, the rest help to see the extent.
ORPHANS_MAX = 1_000

SaleChanges = CapacitySet | Closed | Reopened | EventCancelled


class Torn(Exception):
    """The shard went to another epoch while it was read: begin anew."""


@dataclass(slots=True)
class _Rows:
    """PostgreSQL's side of a group."""

    reign: tuple[int, str] | None
    checkpoint_seq: int
    events: dict[str, audit.EventRow]
    tiers: dict[str, list[audit.TierRow]]
    published: dict[str, Published]
    sections: dict[str, list[audit.SectionRow]]
    blocked: dict[str, dict[str, int]]
    bookings: dict[str, dict[str, Booking]] = field(default_factory=lambda: defaultdict(dict))
    rows: dict[str, dict[str, Row]] = field(default_factory=lambda: defaultdict(dict))
    entries: dict[str, dict[str, WaitEntry]] = field(default_factory=lambda: defaultdict(dict))
    orphans: dict[str, list[tuple[str, int, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    tickets: dict[str, dict[str, Ticket]] = field(default_factory=lambda: defaultdict(dict))


@dataclass(frozen=True, slots=True)
class _State:
    """Redis' side of a group, of one moment."""

    meta: dict[str, str]
    watermark_seq: int
    last_seq: int
    stocks: dict[str, dict[str, str]]
    listed: dict[str, bool]
    seats: dict[str, dict[str, str]]
    promos: dict[str, dict[str, str]]


@dataclass(slots=True)
class _Tail:
    """The records C+1..W: those of the group's events, and what is wrong with any."""

    records: list[tuple[int, Record]] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)


@dataclass(slots=True)
class Reader:
    """Reads groups of events of one shard."""

    shard: int
    redis: Redis
    database: asyncpg.Connection
    ledger: Ledger
    has_published_events: bool

    async def read(self, event_ids: Sequence[str]) -> tuple[ShardView, list[EventView]]:
        """
        Read a group.

        Raises:
            Torn: the shard went to another epoch meanwhile.
            RedisError, PostgresError, OSError: a server did not answer.
        """
        epoch = await self._epoch()
        rows = await self._read_rows(epoch, event_ids)
        state = await self._read_state(epoch, event_ids)
        tail, after = await self._read_tail(epoch, rows.checkpoint_seq, state, set(event_ids))
        view = ShardView(
            shard=self.shard,
            reign=rows.reign,
            meta=state.meta,
            epoch=epoch,
            watermark_seq=state.watermark_seq,
            checkpoint_seq=rows.checkpoint_seq,
            checkpoint_after_seq=after,
            stream_last_seq=state.last_seq,
            tail_records=max(0, state.watermark_seq - rows.checkpoint_seq),
            broken=BrokenRecords([*self.ledger.broken, *tail.broken]),
            has_published_events=self.has_published_events,
        )
        _fold(rows, epoch, tail.records)
        views = [await self._read_event(view, event_id, rows, state) for event_id in event_ids]
        if await self._epoch() != epoch:
            raise Torn
        return view, views

    async def _epoch(self) -> int:
        text = await _ask(self.redis, "HGET", keys.meta(self.shard), "epoch")
        return _number(text)

    async def _read_rows(self, epoch: int, event_ids: Sequence[str]) -> _Rows:
        database = self.database
        async with audit.begin(database):
            reign = await reigns.read(database, self.shard)
            rows = _Rows(
                reign=None if reign is None else (reign.epoch, reign.state),
                checkpoint_seq=(await audit.checkpoints(database, self.shard)).get(epoch, 0),
                events=await audit.event_rows(database, event_ids),
                tiers=await audit.tiers(database, event_ids),
                published=await self._published(event_ids),
                sections=await audit.sections(database, event_ids),
                blocked=await audit.blocked_seats(database, event_ids),
            )
            tickets: dict[str, list[str]] = defaultdict(list)
            homes: dict[str, tuple[str, int]] = {}
            async for ticket in audit.tickets(database, event_ids):
                tickets[ticket.booking_id].append(ticket_text(ticket))
                homes[ticket.booking_id] = (ticket.event_id, ticket.tier_no)
            async for row in audit.bookings(database, event_ids):
                rows.bookings[row.event_id][row.id] = Booking(
                    row.status,
                    row.version,
                    row.epoch,
                    row.seq,
                    row.at_ms,
                    row.user_id,
                    row.fingerprint,
                    row.items or "",
                    row.cancelled_at_ms,
                    cuts=row.cuts,
                )
                rows.rows[row.event_id][row.id] = Row(
                    total_minor=row.total_minor,
                    shard=row.shard,
                    tickets=tuple(tickets.pop(row.id, ())),
                    items=row.items,
                )
            async for entry in store_waitlist.audit(database, event_ids):
                rows.entries[entry.event_id][entry.id] = WaitEntry(*entry[2:])
            for booking_id in list(tickets)[:ORPHANS_MAX]:
                event_id, tier_no = homes[booking_id]
                rows.orphans[event_id].append((booking_id, tier_no, "ticket"))
            for event_id, booking_id, tier_no in await audit.orphan_items(
                database, event_ids, rows_max=ORPHANS_MAX
            ):
                rows.orphans[event_id].append((booking_id, tier_no, "line"))
            async for change in audit.ticket_changes(database, event_ids):
                event_id, own_id, *state = change
                rows.tickets[event_id][own_id] = Ticket(*state)
        return rows

    async def _published(self, event_ids: Sequence[str]) -> dict[str, Published]:
        """Return the `published` records in PostgreSQL, also those newer than the proof."""
        known = {
            event_id: self.ledger.published[event_id]
            for event_id in event_ids
            if event_id in self.ledger.published
        }
        reader = JournalReader(self.shard, {})
        # A batch begins behind the checkpoint that was there before it.
        place = max(self.ledger.checkpoints.items(), default=(0, 0))
        async for batch in audit.sale_changes(self.database, self.shard, after=place):
            for _, _, record in reader.read(batch):
                if record.event_id not in event_ids:
                    continue
                if isinstance(record, Published):
                    known[record.event_id] = record
                elif isinstance(record, SaleChanges):
                    folded = fold_sale(known.get(record.event_id), record)
                    if folded is not None:
                        known[record.event_id] = folded
        return known

    async def _read_state(self, epoch: int, event_ids: Sequence[str]) -> _State:
        journal = keys.journal(self.shard, epoch)
        async with self.redis.pipeline(transaction=True) as pipeline:
            pipeline.hgetall(keys.meta(self.shard))
            pipeline.xrevrange(journal, count=1)
            for event_id in event_ids:
                pipeline.hgetall(keys.event(self.shard, event_id).stock)
                pipeline.sismember(keys.events(self.shard), event_id)
                pipeline.hgetall(keys.event(self.shard, event_id).seats)
                pipeline.hgetall(keys.event(self.shard, event_id).promos)
            replies: list[Any] = await pipeline.execute()
        meta, last, *events = replies
        meta = _texts(meta)
        if _number(meta.get("epoch", "").encode()) != epoch:
            raise Torn
        last_seq = _seq(last[0][0]) if last else 0
        return _State(
            meta=meta,
            # A counter that lies behind its own journal is drift; the journal is right.
            watermark_seq=max(last_seq, _number(meta.get("seq", "").encode())),
            last_seq=last_seq,
            stocks=dict(zip(event_ids, map(_texts, events[::4]), strict=True)),
            listed=dict(zip(event_ids, map(bool, events[1::4]), strict=True)),
            seats=dict(zip(event_ids, map(_texts, events[2::4]), strict=True)),
            promos=dict(zip(event_ids, map(_texts, events[3::4]), strict=True)),
        )

    async def _read_tail(
        self, epoch: int, checkpoint_seq: int, state: _State, event_ids: set[str]
    ) -> tuple[_Tail, int]:
        tail = _Tail()
        seen = checkpoint_seq
        missing: list[tuple[int, int]] = []
        while seen < state.watermark_seq:
            rows: Any = await self.redis.xrange(
                keys.journal(self.shard, epoch),
                str(seen + 1),
                str(state.watermark_seq),
                count=SCAN_COUNT,
            )
            for one in _read_calls(rows):
                seq = one.seq
                if seq <= seen:
                    continue  # Of the same call as the last one that PostgreSQL has.
                if seq > seen + 1:
                    missing.append((seen + 1, seq - 1))
                seen = seq
                if isinstance(one, Damaged):
                    tail.broken.append(
                        Broken(epoch, seq, seq, "record_corrupt", "stream", one.reason)
                    )
                elif one.record.event_id in event_ids:
                    tail.records.append((seq, one.record))
            if not rows:
                missing.append((seen + 1, state.watermark_seq))
                break
        after = (await audit.checkpoints(self.database, self.shard)).get(epoch, 0)
        for first, last in missing:
            await self._fill(epoch, (checkpoint_seq, first, last, after), event_ids, tail)
        tail.records.sort(key=lambda pair: pair[0])
        return tail, after

    async def _fill(
        self, epoch: int, places: tuple[int, int, int, int], event_ids: set[str], tail: _Tail
    ) -> None:
        """Take records that left the stream from PostgreSQL; what neither has is missing."""
        checkpoint_seq, first, last, after = places
        if first <= after:
            # Trimming follows the commit, so a record that was trimmed lies up to `after`. Batches
            # begin behind the checkpoint, not where the gap does.
            reader = JournalReader(self.shard, {epoch: min(last, after)})
            reader.begin_after(epoch, checkpoint_seq)
            async with audit.begin(self.database):
                async for batch in audit.journal(
                    self.database, self.shard, after=(epoch, checkpoint_seq)
                ):
                    if batch.epoch != epoch or batch.first_seq > last:
                        break
                    for _, seq, record in reader.read(batch):
                        if first <= seq <= last and record.event_id in event_ids:
                            tail.records.append((seq, record))
            reader.finish()
            tail.broken += [
                broken
                for broken in reader.broken
                if broken.first_seq <= last and broken.last_seq >= first
            ]
        if last > after:
            tail.broken.append(
                Broken(
                    epoch,
                    max(first, after + 1),
                    last,
                    "record_missing",
                    "stream",
                    "neither the stream nor PostgreSQL has it",
                )
            )

    async def _read_event(
        self, view: ShardView, event_id: str, rows: _Rows, state: _State
    ) -> EventView:
        names = keys.event(self.shard, event_id)
        unreadable: list[tuple[str, str]] = []
        persons: dict[str, int] = {}
        bookings: dict[str, Booking] = {}
        # Persons first: what a count includes is then seen among the bookings.
        async for user_id, value in scan_hash(self.redis, names.persons):
            try:
                persons[user_id] = int(value)
            except ValueError:
                unreadable.append((user_id, f"not a count: {value[:200]!r}"))
        tickets: dict[str, Ticket] = {}
        async for own_id, value in scan_hash(self.redis, names.tickets):
            try:
                tickets[own_id] = parse_ticket(value)
            except ValueError as error:
                unreadable.append((own_id, str(error)))
        holds, endless = await self._read_holds(names, unreadable)
        members, entries = await self._read_waitlist(names, unreadable)
        async for booking_id, value in scan_hash(self.redis, names.bookings):
            try:
                bookings[booking_id] = parse_booking(value)
            except ValueError as error:
                unreadable.append((booking_id, str(error)))
        seq = await _ask(self.redis, "HGET", keys.meta(self.shard), "seq")
        return EventView(
            shard=view,
            event_id=event_id,
            row=rows.events.get(event_id),
            tiers=rows.tiers[event_id],
            published=rows.published.get(event_id),
            expected=rows.bookings[event_id],
            rows=rows.rows[event_id],
            orphans=rows.orphans[event_id],
            is_listed=state.listed[event_id],
            stock=state.stocks[event_id],
            persons=persons,
            bookings=bookings,
            unreadable=unreadable,
            seq_after=max(view.watermark_seq, _number(seq)),
            expected_tickets=rows.tickets[event_id],
            tickets=tickets,
            holds=holds,
            endless=endless,
            seats=state.seats[event_id],
            sections=rows.sections[event_id],
            promos=state.promos[event_id],
            blocked=rows.blocked[event_id],
            waitlist=ListView(expected=rows.entries[event_id], members=members, entries=entries),
        )

    async def _read_waitlist(
        self, names: keys.EventKeys, unreadable: list[tuple[str, str]]
    ) -> tuple[list[str], dict[str, WaitEntry]]:
        members: list[str] = []
        cursor: Any = 0
        while True:
            cursor, found = await _ask(
                self.redis, "ZSCAN", names.waitlist, cursor, "COUNT", SCAN_COUNT
            )
            members += [name.decode(errors="replace") for name, _ in found]
            if int(cursor) == 0:
                break
        entries: dict[str, WaitEntry] = {}
        async for entry_id, value in scan_hash(self.redis, names.entries):
            # Beside the entries stand pointers from persons and holds to them.
            if entry_id.startswith("wl_"):
                try:
                    entries[entry_id] = parse_entry(value)
                except ValueError as error:
                    unreadable.append((entry_id, str(error)))
        return members, entries

    async def _read_holds(
        self, names: keys.EventKeys, unreadable: list[tuple[str, str]]
    ) -> tuple[dict[str, Hold], list[str]]:
        holds: dict[str, Hold] = {}
        async for hold_id, value in scan_hash(self.redis, names.holds):
            try:
                holds[hold_id] = parse_hold(value)
            except ValueError as error:
                unreadable.append((hold_id, str(error)))
        live = [hold_id for hold_id, hold in holds.items() if hold.status == "held"]
        endless: list[str] = []
        for start in range(0, len(live), SCAN_COUNT):
            part = live[start : start + SCAN_COUNT]
            scores = await _ask(self.redis, "ZMSCORE", names.deadlines, *part)
            endless += [
                hold_id for hold_id, score in zip(part, scores, strict=True) if score is None
            ]
        return holds, endless


def _fold(rows: _Rows, epoch: int, records: Sequence[tuple[int, Record]]) -> None:
    """Lead the rows from the checkpoint to the watermark, record by record."""
    for seq, record in records:
        waitlist.fold(rows.entries[record.event_id], epoch, seq, record)
        if isinstance(record, Published):
            rows.published[record.event_id] = record
        elif isinstance(record, Booked | Confirmed):
            rows.bookings[record.event_id][record.booking_id] = Booking(
                CONFIRMED,
                record.version,
                epoch,
                seq,
                record.at_ms,
                record.user_id,
                record.fingerprint,
                items_text(record.items),
            )
        elif isinstance(record, Cancelled):
            bookings = rows.bookings[record.event_id]
            booking = bookings.get(record.booking_id)
            if booking is not None:
                bookings[record.booking_id] = booking._replace(
                    status=CANCELLED,
                    version=booking.version + 1,
                    cancelled_at_ms=record.at_ms,
                    cancel_epoch=epoch,
                    cancel_seq=seq,
                )
        elif isinstance(record, Blocked | Unblocked):
            fold_blocked_tiers(rows.blocked[record.event_id], record)
        elif isinstance(record, ItemCancelled):
            bookings = rows.bookings[record.event_id]
            booking = bookings.get(record.booking_id)
            if booking is not None:
                bookings[record.booking_id] = booking._replace(
                    version=record.booking_version, items=items_text(record.left), cuts=record.cuts
                )
        elif isinstance(record, SaleChanges):
            event_id = record.event_id
            folded = fold_sale(rows.published.get(event_id), record)
            if folded is not None:
                rows.published[event_id] = folded
            rows.tiers[event_id] = fold_tiers(rows.tiers[event_id], record)
        elif isinstance(record, CheckedIn | CheckInUndone | Transferred):
            rows.tickets[record.event_id][record.ticket_id] = ticket_of(epoch, seq, record)
        elif isinstance(record, Held | Extended | Released | Expired | Lost):
            pass  # Redis' own rows tell what each hold was at the watermark.
        elif isinstance(record, Joined | Stalled | Offered | Left | Lost):
            pass  # `waitlist.fold` has them; of the last nobody knows.
        else:
            assert_never(record)


async def scan_events(redis: Redis, shard: int) -> set[str]:
    """Return the events that Redis has loaded; those loaded meanwhile may be missing."""
    found: set[str] = set()
    cursor = 0
    while True:
        cursor, members = await _ask(
            redis, "SSCAN", keys.events(shard), cursor, "COUNT", SCAN_COUNT
        )
        found.update(member.decode() for member in members)
        if int(cursor) == 0:
            return found


async def scan_hash(redis: Redis, key: str) -> Any:
    """Yield (field, value) of a hash; a field that is there all the time comes at least once."""
    cursor: Any = 0
    while True:
        cursor, fields = await _ask(redis, "HSCAN", key, cursor, "COUNT", SCAN_COUNT)
        for name, value in fields.items():
            yield name.decode(), value
        if int(cursor) == 0:
            return


async def read_texts(redis: Redis, key: str) -> dict[str, str]:
    """Return a hash of figures and words, which is as large as an event has tiers or sections."""
    return _texts(await _ask(redis, "HGETALL", key))


async def _ask(redis: Redis, *words: Any) -> Any:
    return await redis.execute_command(*words)  # type: ignore[no-untyped-call]


def _number(text: bytes | None) -> int:
    """Read a counter; 0 if there is none, -1 if it is none: no epoch or record has that."""
    if not text:
        return 0
    return int(text) if text.isdigit() else -1


def _seq(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


def _read_calls(rows: Sequence[Any]) -> Iterator[Entry | Damaged]:
    """Yield the records of stream entries; one that is no entry of ours is damaged, at its seq."""
    for entry_id, fields in rows:
        try:
            yield from read_call(entry_id, fields)
        except CorruptRecord as error:
            yield Damaged(_seq(entry_id), b"", str(error))


def _texts(fields: dict[bytes, bytes]) -> dict[str, str]:
    return {
        name.decode(errors="replace"): value.decode(errors="replace")
        for name, value in fields.items()
    }

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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import msgspec
from redis.asyncio import Redis

from engine import keys
from engine.errors import CorruptRecord
from engine.records import (
    Amended,
    CapacitySet,
    Closed,
    Damaged,
    Entry,
    EventCancelled,
    Published,
    Record,
    Reopened,
    SaleChange,
    read_call,
)
from engine.values import Booking, Ticket, WaitEntry
from reconciler.event.hashes import ask, read_hashes, read_texts, take_mark, texts_of
from reconciler.event.journal import JournalReader, Known, follow_sales
from reconciler.event.state import EventState
from reconciler.event.view import EventView, InRedis, Row, ShardView
from reconciler.event.violation import Broken, BrokenRecords
from store import audit, reigns
from store import waitlist as store_waitlist

#: Fields that one HSCAN call asks for, and stream entries that one XRANGE brings.
SCAN_COUNT = 1_000
#: Bookings and events that are read together; a larger event is read alone.
GROUP_BOOKINGS_MAX = 20_000
GROUP_EVENTS_MAX = 64
#: Orphaned lines that are read; one is enough to fail, the rest help to see the extent.
ORPHANS_MAX = 1_000


class Torn(Exception):
    """The shard went to another epoch while it was read: begin anew."""


@dataclass(slots=True)
class _Rows:
    """PostgreSQL's side of a group."""

    reign: tuple[int, str] | None
    checkpoint_seq: int
    events: dict[str, audit.EventRow]
    tiers: dict[str, list[audit.TierRow]]
    sections: dict[str, list[audit.SectionRow]]
    promos: dict[str, list[audit.PromoRow]]
    states: dict[str, EventState]
    rows: dict[str, dict[str, Row]] = field(default_factory=lambda: defaultdict(dict))
    orphans: dict[str, list[tuple[str, int, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    lost_scans: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))


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
    known: Known
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
            broken=BrokenRecords([*self.known.broken, *tail.broken]),
            has_published_events=self.has_published_events,
        )
        _fold(rows, epoch, tail.records)
        views = [await self._read_event(view, event_id, rows, state) for event_id in event_ids]
        if await self._epoch() != epoch:
            raise Torn
        return view, views

    async def _epoch(self) -> int:
        text = await ask(self.redis, "HGET", keys.meta(self.shard), "epoch")
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
                sections=await audit.sections(database, event_ids),
                promos=await audit.promos(database, event_ids),
                states=await self._sales(event_ids),
            )
            for event_id, seats in (await audit.blocked_seats(database, event_ids)).items():
                rows.states[event_id].blocked = seats
            tickets: dict[str, list[str]] = defaultdict(list)
            homes: dict[str, tuple[str, int]] = {}
            async for ticket in audit.tickets(database, event_ids):
                tickets[ticket.booking_id].append(_row_text(ticket))
                homes[ticket.booking_id] = (ticket.event_id, ticket.tier_no)
            async for row in audit.bookings(database, event_ids):
                rows.states[row.event_id].bookings[row.id] = Booking(
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
                    cuts=row.cuts,
                )
            async for entry in store_waitlist.audit(database, event_ids):
                rows.states[entry.event_id].entries[entry.id] = WaitEntry(*entry[2:-1])
            for booking_id in list(tickets)[:ORPHANS_MAX]:
                event_id, tier_no = homes[booking_id]
                rows.orphans[event_id].append((booking_id, tier_no, "ticket"))
            for event_id, booking_id, tier_no in await audit.orphan_items(
                database, event_ids, rows_max=ORPHANS_MAX
            ):
                rows.orphans[event_id].append((booking_id, tier_no, "line"))
            async for change in audit.ticket_changes(database, event_ids):
                event_id, own_id, *state = change
                rows.states[event_id].tickets[own_id] = Ticket(*state)
            for event_id, *scan in await audit.lost_scans(
                database, event_ids, rows_max=ORPHANS_MAX
            ):
                rows.lost_scans[event_id].append((scan[0], scan[1]))
        return rows

    async def _sales(self, event_ids: Sequence[str]) -> dict[str, EventState]:
        """Return what is sold as PostgreSQL has it, also what is newer than the proof."""
        states = {
            event_id: EventState(sale=self.known.states[event_id].sale) for event_id in event_ids
        }
        # A batch begins behind the checkpoint that was there before it.
        after = max(self.known.checkpoints.items(), default=(0, 0))
        await follow_sales(self.database, self.shard, states, after=after)
        return states

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
        meta = texts_of(meta)
        if _number(meta.get("epoch", "").encode()) != epoch:
            raise Torn
        last_seq = _seq(last[0][0]) if last else 0
        return _State(
            meta=meta,
            # A counter that lies behind its own journal is drift; the journal is right.
            watermark_seq=max(last_seq, _number(meta.get("seq", "").encode())),
            last_seq=last_seq,
            stocks=dict(zip(event_ids, map(texts_of, events[::4]), strict=True)),
            listed=dict(zip(event_ids, map(bool, events[1::4]), strict=True)),
            seats=dict(zip(event_ids, map(texts_of, events[2::4]), strict=True)),
            promos=dict(zip(event_ids, map(texts_of, events[3::4]), strict=True)),
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
        # First: a hold that is read later, and has not changed since the watermark, was there then.
        due = await ask(self.redis, "ZSCORE", keys.due(self.shard), event_id)
        hashes = await read_hashes(self.redis, keys.event(self.shard, event_id))
        marked = hashes["marked"]
        is_cancelling = await ask(self.redis, "SISMEMBER", keys.cancelling(self.shard), event_id)
        seq = await ask(self.redis, "HGET", keys.meta(self.shard), "seq")
        known = self.known
        # Of an epoch that began since the proof nothing is known.
        holds = known.holds if view.epoch in known.checkpoints else None
        return EventView(
            **hashes,
            event_id=event_id,
            stock=take_mark("stock", state.stocks[event_id], marked),
            seats=take_mark("seats", state.seats[event_id], marked),
            promos=take_mark("promos", state.promos[event_id], marked),
            shard=view,
            row=rows.events.get(event_id),
            tiers=rows.tiers[event_id],
            sections=rows.sections[event_id],
            promo_rows=rows.promos[event_id],
            state=rows.states[event_id],
            rows=rows.rows[event_id],
            orphans=rows.orphans[event_id],
            lost_scans=rows.lost_scans[event_id],
            is_listed=state.listed[event_id],
            is_cancelling=bool(is_cancelling),
            due_ms=None if due is None else float(due),
            known_holds=None if holds is None else holds.get(event_id, {}),
            known_place=(view.epoch, known.checkpoints.get(view.epoch, 0)),
            seq_after=max(view.watermark_seq, _number(seq)),
        )


def groups(
    events: Sequence[str], counts: Mapping[str, int], *, bookings_max: int = GROUP_BOOKINGS_MAX
) -> list[list[str]]:
    """Divide events into groups that are read together; there is at least one, if empty."""
    found: list[list[str]] = [[]]
    bookings = 0
    for event_id in events:
        count = counts.get(event_id, 0)
        full = len(found[-1]) >= GROUP_EVENTS_MAX or bookings + count > bookings_max
        if full and found[-1]:
            found.append([])
            bookings = 0
        found[-1].append(event_id)
        bookings += count
    return found


async def read_quiet(redis: Redis, shard: int, event_id: str) -> InRedis:
    """
    Read all that Redis has of one event of a shard that is shut or quiet: without a watermark.

    Memory: O(bookings of the event).
    """
    names = keys.event(shard, event_id)
    hashes = await read_hashes(redis, names)
    marked = hashes["marked"]
    return InRedis(
        **hashes,
        event_id=event_id,
        stock=take_mark("stock", await read_texts(redis, names.stock), marked),
        seats=take_mark("seats", await read_texts(redis, names.seats), marked),
        promos=take_mark("promos", await read_texts(redis, names.promos), marked),
    )


def _fold(rows: _Rows, epoch: int, records: Sequence[tuple[int, Record]]) -> None:
    """Lead the rows from the checkpoint to the watermark, record by record."""
    for seq, record in records:
        rows.states[record.event_id].follow(epoch, seq, record)
        if isinstance(record, CapacitySet):
            capacities = {tier.tier_no: tier.capacity for tier in record.tiers}
            rows.tiers[record.event_id] = [
                row._replace(capacity=capacities.get(row.tier_no, row.capacity))
                for row in rows.tiers[record.event_id]
            ]
        if isinstance(record, Amended):
            _amend_rows(rows, record)
        if isinstance(record, Published | SaleChange):
            _lead_event_row(rows, record)


def _amend_rows(rows: _Rows, record: Amended) -> None:
    """Let the rows of tiers and promo codes say what the ledger writer will make of them."""
    ids = {name.tier_no: name.tier_id for name in record.names}
    tiers = {row.tier_no: row for row in rows.tiers[record.event_id]}
    for tier in record.tiers:
        known = tiers.get(tier.tier_no)
        tiers[tier.tier_no] = audit.TierRow(
            event_id=record.event_id,
            id=ids.get(tier.tier_no, "") if known is None else known.id,
            sells_after_end=int(f"t{tier.tier_no}t" in record.after_end)
            if known is None
            else known.sells_after_end,
            **msgspec.structs.asdict(tier),
        )
    rows.tiers[record.event_id] = list(tiers.values())
    promos = {row.code: row for row in rows.promos[record.event_id]}
    for promo in record.promos:
        promos[promo.code] = audit.PromoRow(
            record.event_id,
            promo.code,
            promo.uses_max,
            promo.percent,
            promo.amount_minor,
            tuple(promo.tier_nos),
        )
    rows.promos[record.event_id] = list(promos.values())


def _lead_event_row(rows: _Rows, record: Published | SaleChange) -> None:
    """Let an event's row say what the ledger writer will make of it."""
    event = rows.events.get(record.event_id)
    if event is None:
        return
    match record:
        case Published():
            if event.status == "draft":
                event = event._replace(status="published", published_at_ms=record.at_ms)
        case CapacitySet():
            event = event._replace(pools=record.pools or event.pools)
        case Closed():
            event = event._replace(status="closed", closes_at_ms=record.closes_at_ms)
        case Reopened():
            event = event._replace(status="published", closes_at_ms=record.closes_at_ms)
        case Amended():
            event = event._replace(
                status="published" if record.closes_at_ms else event.status,
                opens_at_ms=record.opens_at_ms or event.opens_at_ms,
                closes_at_ms=record.closes_at_ms or event.closes_at_ms,
                person_max=record.person_max or event.person_max,
                offer_ttl_ms=event.offer_ttl_ms if record.offer_ttl_ms < 0 else record.offer_ttl_ms,
                pools=record.pools or event.pools,
            )
        case EventCancelled():
            event = event._replace(
                status="cancelled", closes_at_ms=record.closes_at_ms, cancelled_at_ms=record.at_ms
            )
    rows.events[event.id] = event


def _row_text(ticket: audit.TicketRow) -> str:
    """Write a ticket as `view.Row` has it."""
    seat = f":{ticket.seat_id}" if ticket.seat_id and ticket.is_live else ""
    return f"{ticket.id}:{ticket.tier_no}{seat}"


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

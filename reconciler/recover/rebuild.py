"""
Rebuilding a shard's Redis from PostgreSQL, in place (docs/decisions/0008).

Runs under a claim, behind a shut door: `meta` says `rebuilding` until the shard opens, so that a
crash on the way always ends in another rebuild. All that the ledger has comes back to the letter;
holds and offers come back as far as the journal in PostgreSQL has their records, and one whose
places an acknowledged booking needs is dropped. Verifying is left to `reconciler.judge.check`.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import structlog
from redis.asyncio import Redis

from engine import keys
from engine.records import CapacitySet, Closed, EventCancelled, Published, Record, Reopened
from reconciler.event import event_state, holds
from reconciler.event.event_state import CannotRebuild, EventState, Sale
from reconciler.event.gate import fold_sale
from reconciler.recover.loader import PAIRS_MAX, Loader
from store import audit, rebuild
from store import waitlist as store_waitlist

log = structlog.get_logger()

#: Bookings and events that are read together; a larger event is read alone.
GROUP_BOOKINGS_MAX = 50_000
GROUP_EVENTS_MAX = 64
#: The clocks of two Redis servers may differ by this much.
CLOCKS_DIFFER_MAX = dt.timedelta(minutes=5)

SaleChange = CapacitySet | Closed | Reopened | EventCancelled


@dataclass(slots=True)
class Rebuilt:
    """What was loaded."""

    events: list[str] = field(default_factory=list)
    published: dict[str, Published] = field(default_factory=dict)
    #: Bookings that PostgreSQL has of each event.
    counts: dict[str, int] = field(default_factory=dict)
    bookings: int = 0
    holds: int = 0
    dropped_holds: int = 0


@dataclass(kw_only=True, slots=True)
class Rebuild:
    """One rebuild of one shard."""

    shard: int
    #: The claim.
    epoch: int
    redis: Redis
    #: A connection of one's own, not in a transaction.
    database: asyncpg.Connection
    #: Longest life of a hold, in ms: how far back the journal is read.
    hold_life_max_ms: int
    #: Called often; raises if the claim was lost.
    check_claim: Callable[[], None]
    #: Takes how many bookings are loaded, of how many.
    progress: Callable[[int, int], None] = lambda _done, _total: None
    _result: Rebuilt = field(default_factory=Rebuilt)
    _total: int = 0
    _now_ms: int = 0

    async def run(self) -> Rebuilt:
        """
        Remove what Redis has of the shard and load it anew; `meta` must say `rebuilding`.

        Raises:
            ClaimLost: see there.
            CannotRebuild, CorruptRecord: PostgreSQL's own records do not allow it.
        """
        async with rebuild.patience(self.database):
            return await self._run()

    async def _run(self) -> Rebuilt:
        seconds, micros = await self.redis.time()
        self._now_ms = seconds * 1000 + micros // 1000
        rows = await rebuild.events(self.database, self.shard)
        counts = self._result.counts = await rebuild.booking_counts(self.database, self.shard)
        self._total = sum(counts.values())
        sales = await self._read_sales()
        for event_id in [row.id for row in rows if row.status != "draft"]:
            if event_id not in sales:
                raise CannotRebuild(f"the journal has no record of the publishing of {event_id}")
        holds_by_event = await self._read_holds()
        self._result.events = sorted(sales)
        self._result.published = {key: sale.published for key, sale in sales.items()}
        async with Loader(self.redis, self.shard, self.epoch) as loader:
            await self._wipe(loader, {row.id for row in rows} | sales.keys())
            for group in _groups(sorted(sales), counts):
                self.check_claim()
                states = await self._read_group(group, sales, holds_by_event)
                await self._copy(loader, rebuild.copy_bookings, group)
                await self._copy(loader, rebuild.copy_persons, group)
                if any(tier.person_max for key in group for tier in sales[key].published.tiers):
                    await self._copy(loader, rebuild.copy_tier_persons, group)
                for state in states:
                    await self._load(loader, state)
            await loader.add(keys.events(self.shard), sorted(sales))
            await loader.flush()
        return self._result

    async def _read_sales(self) -> dict[str, Sale]:
        sales: dict[str, Sale] = {}
        async with audit.begin(self.database):
            batches = audit.sale_changes(self.database, self.shard, after=(0, 0))
            async for batch in batches:
                for seq, record in holds.records_of(batch, holds.SALE_KINDS):
                    _fold_sale(sales, batch.epoch, seq, record)
        return sales

    async def _read_holds(self) -> dict[str, dict[str, holds.HoldState]]:
        """Fold the records of all holds that may be live, and of others of that time."""
        since = dt.datetime.fromtimestamp((self._now_ms - self.hold_life_max_ms) / 1000, dt.UTC)
        offered_at = await rebuild.first_offer_at(self.database, self.shard)
        since = min(since, offered_at or since) - CLOCKS_DIFFER_MAX
        found: dict[str, holds.HoldState] = {}
        async with audit.begin(self.database):
            async for batch in rebuild.journal_since(self.database, self.shard, since):
                for seq, record in holds.records_of(batch, holds.KINDS):
                    holds.fold(found, batch.epoch, seq, record)
                self.check_claim()
        by_event: dict[str, dict[str, holds.HoldState]] = defaultdict(dict)
        for hold_id, hold in found.items():
            by_event[hold.event_id][hold_id] = hold
        return by_event

    async def _wipe(self, loader: Loader, event_ids: set[str]) -> None:
        members: Any = await self.redis.smembers(keys.events(self.shard))
        for event_id in sorted(event_ids | {member.decode() for member in members}):
            for key in keys.event(self.shard, event_id):
                await loader.remove(key)
        for key in (keys.events(self.shard), keys.due(self.shard), keys.cancelling(self.shard)):
            await loader.remove(key)
        await loader.flush()

    async def _read_group(
        self,
        group: Sequence[str],
        sales: dict[str, Sale],
        holds_by_event: dict[str, dict[str, holds.HoldState]],
    ) -> list[EventState]:
        """Read all of a group of events but its bookings and what people have."""
        database = self.database
        states = {
            event_id: EventState(event_id, sales[event_id], holds_by_event.get(event_id, {}))
            for event_id in group
        }
        for (event_id, tier_no), places in (await rebuild.sold(database, group)).items():
            states[event_id].sold[tier_no] = places
        if any(sales[event_id].published.promos for event_id in group):
            for (event_id, code), uses in (await rebuild.promo_uses(database, group)).items():
                states[event_id].promo_uses[code] = uses
        seated = [event_id for event_id in group if sales[event_id].published.sections]
        if seated:
            sections = await audit.sections(database, seated)
            blocked = await audit.blocked_seats(database, seated)
            taken = await rebuild.sold_seats(database, seated)
            for event_id in seated:
                states[event_id].seat(sections[event_id], blocked[event_id], taken[event_id])
        async with audit.begin(database):
            async for change in audit.ticket_changes(database, group):
                event_id, own_id, *words = change
                states[event_id].tickets[own_id] = " ".join(map(str, words))
            async for entry in store_waitlist.audit(database, group):
                states[entry.event_id].entries.append(entry)
        for state in states.values():
            if state.entries:
                await event_state.read_waitlist(database, self.shard, state)
            state.place_holds()
        return list(states.values())

    async def _copy(
        self, loader: Loader, copy: Callable[..., Awaitable[None]], group: Sequence[str]
    ) -> None:
        """Stream rows into the hashes of their events."""
        waiting: dict[bytes, list[bytes]] = defaultdict(list)
        is_bookings = copy is rebuild.copy_bookings

        def key_of(event_id: bytes) -> str:
            names = keys.event(self.shard, event_id.decode())
            return names.bookings if is_bookings else names.persons

        async def sink(rows: list[bytes]) -> None:
            if is_bookings:
                self._result.bookings += len(rows) // 3
                self.progress(self._result.bookings, self._total)
            self.check_claim()
            event_id = rows[0]
            if rows.count(event_id) * 3 == len(
                rows
            ):  # All of one event: no need to tell them apart.
                del rows[::3]
                waiting[event_id] += rows
            else:
                for event_id, *pair in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
                    waiting[event_id] += pair
            for event_id, words in waiting.items():
                if len(words) >= 2 * PAIRS_MAX:
                    await loader.put_words(key_of(event_id), words)
                    waiting[event_id] = []

        await copy(self.database, group, sink)
        for event_id, words in waiting.items():
            await loader.put_words(key_of(event_id), words)

    async def _load(self, loader: Loader, state: EventState) -> None:
        """Load what is not a booking; the persons' counts are there and get their holds' places."""
        names = keys.event(self.shard, state.event_id)
        for name, places in state.held_by_person().items():
            await loader.count(names.persons, name, places)
        await loader.put(names.holds, {key: hold.row for key, hold in state.holds.items()})
        live = {key: hold for key, hold in state.holds.items() if hold.is_live}
        ended = {key: hold for key, hold in state.holds.items() if not hold.is_live}
        await loader.score(names.deadlines, {key: h.expires_at_ms for key, h in live.items()})
        await loader.score(names.ended, {key: h.changed_at_ms for key, h in ended.items()})
        await loader.put(names.seats, state.seat_fields(self.epoch))
        await loader.put(names.entries, state.entry_fields())
        await loader.score(names.waitlist, dict.fromkeys(state.waiting_members(), 0))
        await loader.put(names.tickets, state.tickets)
        await loader.put(names.promos, state.promo_fields())
        await loader.put(names.stock, state.stock_fields())
        if state.holds or state.waiting_members():
            # The sweeper comes at once, and says itself when it must come again.
            await loader.score(keys.due(self.shard), {state.event_id: self._now_ms})
        if state.sale.cancelled_at_ms is not None and state.has_taken:
            await loader.add(keys.cancelling(self.shard), [state.event_id])
        self._result.holds += len(live)
        self._result.dropped_holds += len(state.dropped)
        for hold_id in state.dropped:
            log.warning(
                "hold dropped",
                action="rebuild_drop",
                shard=self.shard,
                hold_id=hold_id,
                reason="its places belong to a booking",
            )


def _fold_sale(sales: dict[str, Sale], epoch: int, seq: int, record: Record) -> None:
    if isinstance(record, Published):
        sales[record.event_id] = Sale(record, epoch, seq)
        return
    sale = sales.get(record.event_id)
    if sale is None or not isinstance(record, SaleChange):
        return
    sale.published = fold_sale(sale.published, record) or sale.published
    sale.changed = (epoch, seq, record.at_ms)
    if isinstance(record, EventCancelled):
        sale.cancelled_at_ms = record.at_ms


def _groups(event_ids: Sequence[str], counts: dict[str, int]) -> list[list[str]]:
    groups: list[list[str]] = []
    bookings: Counter[int] = Counter()
    for event_id in event_ids:
        count = counts.get(event_id, 0)
        last = len(groups) - 1
        if (
            last < 0
            or len(groups[last]) >= GROUP_EVENTS_MAX
            or bookings[last] + count > GROUP_BOOKINGS_MAX
        ):
            groups.append([])
            last += 1
        groups[last].append(event_id)
        bookings[last] += count
    return groups

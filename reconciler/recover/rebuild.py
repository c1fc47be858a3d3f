"""
Rebuilding a shard's Redis from PostgreSQL, in place (docs/decisions/0008).

Runs under a claim, behind a shut door: `meta` says `rebuilding` until the shard opens, so that a
crash on the way always ends in another rebuild. All that the ledger has comes back to the letter;
holds and offers come back as far as the journal in PostgreSQL has their records, and one whose
places an acknowledged booking needs is dropped. Verifying is left to `reconciler.judge.check`.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import structlog
from redis.asyncio import Redis

from engine import keys
from engine.records import Joined
from engine.seats import SOLD
from engine.values import Hold, Ticket, WaitEntry, hold_text, ticket_text
from reconciler.event.image import JOIN_NO_BASE, VERSIONS_PER_EPOCH, Image
from reconciler.event.snapshot import groups
from reconciler.event.state import HOLD_KINDS, SALE_KINDS, EventState, records_of
from reconciler.recover.loader import PAIRS_MAX, Loader, Shut
from store import audit, damage, rebuild
from store import waitlist as store_waitlist
from store.sql import moment

log = structlog.get_logger()

#: Bookings that are read together; a larger event is read alone.
GROUP_BOOKINGS_MAX = 50_000
#: Changes of a seat map that one record may be, and versions that are skipped: clients that know
#: one of before ask for the whole map.
LINES_MAX, VERSIONS_SKIPPED = 10, 2_000
#: The clocks of two Redis servers may differ by this much.
CLOCKS_DIFFER_MAX = dt.timedelta(minutes=5)


class CannotRebuild(Exception):
    """PostgreSQL does not have what a rebuild needs; the message says what is missing."""


@dataclass(slots=True)
class Rebuilt:
    """What was loaded."""

    events: list[str] = field(default_factory=list)
    #: Their sales, holds and waitlists, by its records.
    states: defaultdict[str, EventState] = field(default_factory=lambda: defaultdict(EventState))
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
    #: Whether keys are marked (`engine.keys.MARK`): not where older code reads them.
    marks: bool
    #: Called often; raises if the claim was lost.
    check_claim: Callable[[], None]
    #: Takes how many bookings are loaded, of how many.
    progress: Callable[[int, int], None] = lambda _done, _total: None
    #: The only event to rebuild, if the shard has lost no more: it must be shut, and stays so.
    event: Shut | None = None
    _result: Rebuilt = field(default_factory=Rebuilt)
    _total: int = 0
    _now_ms: int = 0

    async def run(self) -> Rebuilt:
        """
        Remove what Redis has of the shard and load it anew; `meta` must say `rebuilding`.

        Of one event alone, the stock is loaded beside its place (`engine.keys.shut`): whoever has
        seen that it adds up opens the event with it.

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
        counts = self._result.counts
        states = self._result.states
        await self._read_sales(states)
        if self.event is None:
            counts |= await rebuild.booking_counts(self.database, self.shard)
        else:
            own_id = self.event.event_id
            rows = [row for row in rows if row.id == own_id]
            for other in states.keys() - {own_id}:
                del states[other]
            counts[own_id] = (await damage.kept(self.database, own_id)).bookings
        self._total = sum(counts.values())
        for event_id in [row.id for row in rows if row.status != "draft"]:
            if event_id not in states:
                raise CannotRebuild(f"the journal has no record of the publishing of {event_id}")
        await self._read_holds(states)
        events = self._result.events = sorted(states)
        async with Loader(self.redis, self.shard, self.epoch, event=self.event) as loader:
            if self.event is None:
                await self._wipe(loader, {*events, *(row.id for row in rows)})
            for group in groups(events, counts, bookings_max=GROUP_BOOKINGS_MAX):
                self.check_claim()
                images = await self._picture(group)
                await self._copy(loader, rebuild.copy_bookings, group)
                await self._copy(loader, rebuild.copy_persons, group)
                if any(image.has_tier_limits for image in images.values()):
                    await self._copy(loader, rebuild.copy_tier_persons, group)
                for event_id, image in images.items():
                    await self._load(loader, event_id, image)
            await loader.add(keys.events(self.shard), events)
            await loader.flush()
        return self._result

    async def _read_sales(self, states: dict[str, EventState]) -> None:
        async with audit.begin(self.database):
            async for batch in audit.sale_changes(self.database, self.shard, after=(0, 0)):
                for epoch, seq, record in records_of(batch, SALE_KINDS):
                    states[record.event_id].follow(epoch, seq, record)

    async def _read_holds(self, states: dict[str, EventState]) -> None:
        """Follow the records of all holds that may be live, and of others of that time."""
        since = moment(self._now_ms - self.hold_life_max_ms)
        offered_at = await rebuild.first_offer_at(self.database, self.shard)
        since = min(since, offered_at or since) - CLOCKS_DIFFER_MAX
        async with audit.begin(self.database):
            async for batch in rebuild.journal_since(self.database, self.shard, since):
                for epoch, seq, record in records_of(batch, HOLD_KINDS):
                    if record.event_id in states:
                        states[record.event_id].follow(epoch, seq, record)
                self.check_claim()

    async def _wipe(self, loader: Loader, event_ids: set[str]) -> None:
        members: Any = await self.redis.smembers(keys.events(self.shard))
        for event_id in sorted(event_ids | {member.decode() for member in members}):
            for key in (*keys.event(self.shard, event_id), keys.shut(self.shard, event_id)):
                await loader.remove(key)
        for key in (keys.events(self.shard), keys.due(self.shard), keys.cancelling(self.shard)):
            await loader.remove(key)
        await loader.flush()

    async def _picture(self, group: Sequence[str]) -> dict[str, Image]:
        """Return the images of a group of events, without its bookings and what people have."""
        database, states = self.database, self._result.states
        images = {}
        async with audit.begin(database):
            async for event_id, own_id, *words in audit.ticket_changes(database, group):
                states[event_id].tickets[own_id] = Ticket(*words)
            async for entry in store_waitlist.audit(database, group):
                states[entry.event_id].entries[entry.id] = WaitEntry(*entry[2:-1])
        for event_id in group:
            sale = states[event_id].sale
            assert sale is not None, "it was published"
            images[event_id] = Image(sale, states[event_id].entries)
        for (event_id, tier_no), places in (await rebuild.sold(database, group)).items():
            images[event_id].sold[tier_no] = places
        if any(image.sale.published.promos for image in images.values()):
            for (event_id, code), uses in (await rebuild.promo_uses(database, group)).items():
                images[event_id].promo_uses[code] = uses
        seated = [key for key, image in images.items() if image.sale.published.sections]
        if seated:
            blocked = await audit.blocked_seats(database, seated)
            taken = await rebuild.sold_seats(database, seated)
            for event_id, rows in (await audit.sections(database, seated)).items():
                images[event_id].sections = rows
                images[event_id].block(blocked[event_id])
                images[event_id].own(SOLD, "a booking", taken[event_id])
        for event_id, image in images.items():
            self._place_holds(image, states[event_id].holds)
        return images

    def _place_holds(self, image: Image, holds: dict[str, Hold]) -> None:
        """Give live holds their places, the oldest first; drop those that find theirs taken."""
        live = [(hold.epoch, hold.seq, key) for key, hold in holds.items() if hold.is_live]
        for _, _, hold_id in sorted(live):
            if image.fits(holds[hold_id]):
                image.take_hold(hold_id, holds[hold_id])
                self._result.holds += 1
                continue
            del holds[hold_id]
            self._result.dropped_holds += 1
            log.warning(
                "hold dropped",
                action="rebuild_drop",
                shard=self.shard,
                hold_id=hold_id,
                reason="its places belong to a booking",
            )

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

    async def _load(self, loader: Loader, event_id: str, image: Image) -> None:
        """Load what is not a booking; the persons' counts are there and get their holds' places."""
        names, state = self.names(event_id), self._result.states[event_id]
        for name, places in image.persons.items():
            await loader.count(names.persons, name, places)
        holds, members = state.holds, image.members()
        firsts: dict[str, str] = {}
        stock = image.stock()
        if state.entries:
            rules, firsts = await self._read_waitlist(state.entries)
            stock |= image.list_rules(rules)
        deadlines = {key: hold.expires_at_ms for key, hold in holds.items() if hold.is_live}
        await loader.put(names.holds, {key: hold_text(hold) for key, hold in holds.items()})
        await loader.score(names.deadlines, deadlines)
        await loader.score(names.ended, state.ended_at_ms)
        await loader.put(names.seats, image.seats(self.epoch) | self._map_version(image))
        await loader.put(names.entries, image.entry_fields(firsts))
        await loader.score(names.waitlist, dict.fromkeys(members, 0))
        tickets = {own_id: ticket_text(ticket) for own_id, ticket in state.tickets.items()}
        await loader.put(names.tickets, tickets)
        await loader.put(names.promos, image.promos())
        await loader.put(names.stock, stock)
        if self.marks:
            await loader.mark(names)
        if (holds or members) and self.event is None:
            # The sweeper comes at once, and says itself when it must come again.
            await loader.score(keys.due(self.shard), {event_id: 0})
        is_taken = image.sold.total() or image.held.total() or members
        if image.sale.cancelled_at_ms is not None and is_taken:
            await loader.add(keys.cancelling(self.shard), [event_id])
        self._result.states[event_id] = EventState(sale=image.sale)  # The rest was needed here.

    def names(self, event_id: str) -> keys.EventKeys:
        """Return where the event is loaded."""
        names = keys.event(self.shard, event_id)
        if self.event is None:
            return names
        return names._replace(stock=keys.shut(self.shard, event_id))

    def _map_version(self, image: Image) -> dict[str, str]:
        """Return a version of the seat map above all that clients may have seen in this epoch."""
        if self.event is None or not image.sections:
            return {}
        least = self.event.epoch * VERSIONS_PER_EPOCH + LINES_MAX * self.event.seq
        return {"version": str(max(least, self.event.map_version) + VERSIONS_SKIPPED)}

    async def _read_waitlist(self, entries: dict[str, WaitEntry]) -> tuple[Joined, dict[str, str]]:
        """
        Read from the journal what entries' rows do not have: how the list is led, and first places.

        Raises:
            CannotRebuild: the journal has no record of a joining that the rows have.
        """

        async def joined(entry_id: str, entry: WaitEntry) -> Joined:
            batch = await rebuild.batch_of(self.database, self.shard, entry.epoch, entry.seq)
            for _, seq, record in records_of(batch, ("joined",)) if batch else ():
                if seq == entry.seq and isinstance(record, Joined):
                    return record
            raise CannotRebuild(f"the journal has no record of the joining of {entry_id}")

        last = max(entries, key=lambda key: (entries[key].epoch, entries[key].seq))
        firsts = {
            (await joined(entry_id, entry)).after_hold: entry_id
            for entry_id, entry in entries.items()
            if int(entry.join_no) < JOIN_NO_BASE
        }
        return await joined(last, entries[last]), firsts

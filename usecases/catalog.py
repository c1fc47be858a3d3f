"""
What never changes about an event on sale, remembered per process for the booking path.

Prices, limits, capacities and the sale window are not here: they may change and live in Redis,
where the script reads them. Here is only what turns a request into a command: the event's shard
and currency, and the number of each tier. A tier that is not known is looked up again, at most
once per `MISS_INTERVAL_S`, so that neither new tiers are missed nor made-up ids reach PostgreSQL.
A draft is not remembered: it is on sale as soon as Redis says so, and until then it is nobody's but
its organizer's.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from engine.errors import EngineError, OutcomeUnknown, ShardUnavailable
from engine.ids import event_id_range, is_id
from engine.status import Status
from store import events, seats
from store.pool import UNANSWERED, Pool
from usecases.denials import Denied, not_found
from usecases.memory import remember
from usecases.present import is_untouched
from usecases.tokens import Principal

Found = TypeVar("Found")

EVENTS_MAX = 20_000
#: Events whose sections are remembered: a stadium's take about 100 kB.
SECTIONS_EVENTS_MAX = 200
MISS_INTERVAL_S = 1.0
#: How old what an event says of itself may be at the gate.
POSTER_AGE_MAX_S = 5.0


@dataclass(frozen=True, slots=True)
class Known:
    """An event as the booking path needs it."""

    shard: int
    organizer_id: str
    currency: str
    #: tier id -> tier_no
    tier_nos: dict[str, int]
    #: tier_no -> tier id
    tier_ids: dict[int, str]
    #: section_no -> tier_no; empty if no tier has seats.
    section_tiers: dict[int, int]
    read_at_s: float
    waitlist_policy: str = "strict"
    waitlist_patience_ms: int = 0
    #: Whether its stock was not loaded yet.
    is_draft: bool = False
    #: tier_no -> name
    tier_names: dict[int, str] = field(default_factory=dict)
    #: As it was when the event was read; organizers may change it.
    poster: events.Poster | None = None
    #: As it was when the event was read, for the metrics.
    category: str = ""


class Catalog:
    """A bounded memory of events, filled from PostgreSQL on first use."""

    def __init__(
        self,
        pool: Pool,
        is_loaded: Callable[[int, str], Awaitable[bool]],
        sees: Callable[[Principal | None, str, str], Awaitable[bool]],
    ) -> None:
        """
        Args:
            is_loaded: Tells whether the stock of an event is loaded on a shard; asked of those
                whose publishing has begun and has not come to PostgreSQL yet.

            sees: Tells whether a draft of an organizer is there for a person (`usecases.rights`).
        """
        self._pool = pool
        self._is_loaded = is_loaded
        self._sees = sees
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._missing: OrderedDict[str, float] = OrderedDict()
        self._posters: OrderedDict[str, tuple[events.Poster, float]] = OrderedDict()
        self._sections: OrderedDict[str, list[seats.Section]] = OrderedDict()
        self._reads: dict[str, asyncio.Task[Known | None]] = {}

    def get(self, event_id: str) -> Known | None:
        """Return the event if it is in memory."""
        return self._known.get(event_id)

    async def find(
        self, event_id: str, *, wanted_tier_ids: frozenset[str] = frozenset()
    ) -> Known | None:
        """
        Return the event, be it a draft, from PostgreSQL if need be; None if there is none.

        Args:
            wanted_tier_ids: Tiers that the caller expects; if one is not known, the event is read
                anew, unless that was done within the last `MISS_INTERVAL_S` seconds.
        """
        now_s = time.monotonic()
        known = self._known.get(event_id)
        if known is not None and (
            wanted_tier_ids <= known.tier_nos.keys() or now_s - known.read_at_s < MISS_INTERVAL_S
        ):
            return known
        if known is None and now_s - self._missing.get(event_id, -MISS_INTERVAL_S) < (
            MISS_INTERVAL_S
        ):
            return None
        # Requests for the same event that arrive together share one read.
        read = self._reads.get(event_id)
        if read is None:
            read = self._reads[event_id] = asyncio.create_task(self._read(event_id))
            read.add_done_callback(lambda _: self._reads.pop(event_id, None))
        return await asyncio.shield(read)

    async def need(
        self,
        event_id: str,
        wanted_tier_ids: frozenset[str] = frozenset(),
        *,
        person: Principal | None = None,
    ) -> Known:
        """
        Return the event as `find` does; deny one that is not there.

        A draft is there for who may see it alone, and is not on sale for them either (S8).
        """
        if not is_id("evt", event_id):
            raise not_found()
        known = await self.find(event_id, wanted_tier_ids=wanted_tier_ids)
        if known is None:
            raise not_found()
        if known.is_draft:
            if not await self._sees(person, known.organizer_id, event_id):
                raise not_found()
            raise Denied(Status.NOT_ON_SALE)
        return known

    async def look_up(
        self, own_id: str, look: Callable[[str, Known], Awaitable[Found | None]]
    ) -> Found | None:
        """
        Return what *look* finds of an id in the event that it leads to; None if there is nothing.

        An id begins with the time its event was made, to the ms. Where several were made in the
        same ms, each is asked, and one whose shard is shut keeps nobody from the others.

        Raises:
            ShardUnavailable, OutcomeUnknown: one of them cannot tell, and no other has it.
        """
        untold: EngineError | None = None
        for event_id in await events.ids_between(self._pool, *event_id_range(own_id)):
            try:
                known = await self.find(event_id)
                if known is None or known.is_draft:
                    continue  # Somebody's draft, made in the same ms.
                found = await look(event_id, known)
            except (ShardUnavailable, OutcomeUnknown) as error:
                untold = error
                continue
            if found is not None:
                return found
        if untold is not None:
            raise untold
        return None

    async def sections(self, event_id: str) -> list[seats.Section]:
        """Return an event's sections; they never change once the event is made."""
        found = self._sections.get(event_id)
        if found is None:
            found = await seats.of_event(self._pool, event_id)
            remember(self._sections, event_id, found, most=SECTIONS_EVENTS_MAX)
        return found

    async def poster(self, event_id: str, known: Known) -> events.Poster:
        """
        Return what an event says of itself, as it was a few seconds ago.

        While PostgreSQL does not answer, what was read of it before is told on.
        """
        last, read_at_s = self._posters.get(event_id, (known.poster, known.read_at_s))
        if last is not None and time.monotonic() - read_at_s < POSTER_AGE_MAX_S:
            return last
        try:
            found = (await events.posters(self._pool, [event_id])).get(event_id)
        except UNANSWERED:
            if last is None:
                raise
            return last
        if found is None:
            raise not_found()
        remember(self._posters, event_id, (found, time.monotonic()), most=EVENTS_MAX)
        return found

    async def _read(self, event_id: str) -> Known | None:
        event = await events.by_id(self._pool, event_id)
        if event is None:
            remember(self._missing, event_id, time.monotonic(), most=EVENTS_MAX)
            return None
        tiers = (await events.tiers_of(self._pool, [event_id])).get(event_id, [])
        known = Known(
            shard=event.shard,
            organizer_id=event.organizer_id,
            currency=event.currency,
            tier_nos={tier.id: tier.tier_no for tier in tiers},
            tier_ids={tier.tier_no: tier.id for tier in tiers},
            section_tiers=await seats.tiers_of_sections(self._pool, event_id),
            read_at_s=time.monotonic(),
            waitlist_policy=event.waitlist_policy,
            waitlist_patience_ms=event.waitlist_patience_ms,
            is_draft=is_untouched(event)
            or (event.status == "draft" and not await self._is_loaded(event.shard, event_id)),
            tier_names={tier.tier_no: tier.name for tier in tiers},
            poster=events.Poster(event.name, event.starts_at, event.timezone, event.venue),
            category=event.category,
        )
        if not known.is_draft:
            remember(self._known, event_id, known, most=EVENTS_MAX)
        return known

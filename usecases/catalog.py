"""
What this process remembers of events: the first layer of reading, before PostgreSQL.

For the booking path, what turns a request into a command: the event's shard and currency, and the
number of each tier. Prices, limits, capacities and the sale window are not here: they live in
Redis, where the script reads them. A tier that is not known is looked up again, at most once per
`MISS_INTERVAL_S`, so that neither new tiers are missed nor made-up ids reach PostgreSQL. For
visitors, the rows of an event's page. A draft is not remembered: it is on sale as soon as Redis
says so, and until then it is nobody's but its organizer's.

Whatever changes an event tells it (`store.notices.EVENTS`), and it is read anew by who asks next;
so is everything after a time in which nothing could be heard. Above that stands an age limit, which
is short while nothing is heard. Where PostgreSQL does not answer, the booking path goes on with
what was read last: none of what it needs ever changes.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

from engine.errors import EngineError, OutcomeUnknown, ShardUnavailable
from engine.ids import event_id_range, is_id
from engine.status import Status
from store import events, seats
from store.notices import ANY
from store.pool import UNANSWERED, Pool
from usecases.denials import Denied, not_found
from usecases.memory import Recent, remember
from usecases.present import is_untouched
from usecases.tokens import Principal

Found = TypeVar("Found")

EVENTS_MAX = 20_000
#: Events whose sections are remembered: a stadium's take about 100 kB.
SECTIONS_EVENTS_MAX = 200
#: Events whose pages are remembered: the text of one may take 20 kB.
PAGES_MAX = 1_000
#: Pages of the list that are remembered, 2 MB each at most, and how old one may be, in seconds: no
#: older than caches in front are told, and still one read a second for a crowd.
LISTS_MAX = 16
LIST_AGE_MAX_S = 1.0
MISS_INTERVAL_S = 1.0
#: How old what is remembered may be, in seconds: while changes are heard of, and while not.
AGE_MAX_S = 30.0
DEAF_AGE_MAX_S = 1.0
#: How long somebody waits for PostgreSQL who could do with what was read last, in seconds; and for
#: how long nobody does after one has waited in vain.
PATIENCE_S = 0.25
SILENT_S = 1.0


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


class EventRows(NamedTuple):
    """The rows of an event's page."""

    event: events.Event
    tiers: Sequence[events.Tier]


class ListRows(NamedTuple):
    """The rows of a page of a list."""

    events: Sequence[events.Event]
    #: By event id.
    tiers: dict[str, list[events.Tier]]
    has_more: bool


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
        self._known = Recent[str, Known | None](most=EVENTS_MAX, keeps=_is_on_sale)
        self._missing: OrderedDict[str, float] = OrderedDict()
        self._pages = Recent[str, EventRows | None](most=PAGES_MAX, keeps=_is_public)
        self._lists = Recent[tuple[object, ...], ListRows](most=LISTS_MAX)
        self._sections = Recent[str, list[seats.Section]](most=SECTIONS_EVENTS_MAX)
        self._is_deaf = True
        self._silent_until_s = 0.0

    def hear(self, said: str | None) -> None:
        """Take a notice of changed events; see `store.notices.Hear`."""
        self._is_deaf = said is None
        self._lists.drop_all()
        if said == ANY:
            self._known.drop_all()
            self._pages.drop_all()
            self._sections.drop_all()
        for event_id in (said or "").split():
            self.drop(event_id)

    def drop(self, event_id: str) -> None:
        """Know that an event has changed: whoever asks next reads it anew."""
        self._lists.drop_all()
        self._known.drop(event_id)
        self._pages.drop(event_id)
        self._sections.drop(event_id)

    def get(self, event_id: str) -> Known | None:
        """Return the event if it is in memory, as the booking path needs it."""
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
        last = self._known.last(event_id)
        if last is None and now_s - self._missing.get(event_id, -MISS_INTERVAL_S) < (
            MISS_INTERVAL_S
        ):
            return None
        has_tiers = last is not None and wanted_tier_ids <= last.tier_nos.keys()
        if has_tiers and now_s < self._silent_until_s:
            return last
        found = self._known.find(
            event_id,
            partial(self._read, event_id),
            age_max_s=self._age_max_s if has_tiers else MISS_INTERVAL_S,
        )
        if not has_tiers:
            return await found
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await found
        except UNANSWERED:
            self._silent_until_s = time.monotonic() + SILENT_S
            return last

    async def page(self, event_id: str, *, anew: bool = False) -> EventRows | None:
        """
        Return the rows of an event, a draft's as well; None if there is none.

        Args:
            anew: Whatever is remembered, read them.
        """
        if anew:
            return await self._read_page(event_id)
        return await self._pages.find(
            event_id, partial(self._read_page, event_id), age_max_s=self._age_max_s
        )

    async def listed(
        self, wanted: tuple[object, ...], read: Callable[[], Awaitable[ListRows]]
    ) -> ListRows:
        """Return the rows of a page of the list that visitors ask for, dropped by any change."""
        return await self._lists.find(wanted, read, age_max_s=LIST_AGE_MAX_S)

    @property
    def _age_max_s(self) -> float:
        return DEAF_AGE_MAX_S if self._is_deaf else AGE_MAX_S

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
        return await self._sections.find(
            event_id, partial(seats.of_event, self._pool, event_id), age_max_s=math.inf
        )

    async def poster(self, event_id: str) -> events.Poster:
        """
        Return what an event says of itself.

        While PostgreSQL does not answer, what was read of it before is told on.
        """
        known = await self.find(event_id)
        if known is None or known.poster is None:
            raise not_found()
        return known.poster

    async def _read_page(self, event_id: str) -> EventRows | None:
        event = await events.by_id(self._pool, event_id)
        if event is None:
            return None
        return EventRows(event, (await events.tiers_of(self._pool, [event_id])).get(event_id, []))

    async def _read(self, event_id: str) -> Known | None:
        event = await events.by_id(self._pool, event_id)
        if event is None:
            remember(self._missing, event_id, time.monotonic(), most=EVENTS_MAX)
            return None
        tiers = (await events.tiers_of(self._pool, [event_id])).get(event_id, [])
        return Known(
            shard=event.shard,
            organizer_id=event.organizer_id,
            currency=event.currency,
            tier_nos={tier.id: tier.tier_no for tier in tiers},
            tier_ids={tier.tier_no: tier.id for tier in tiers},
            section_tiers=await seats.tiers_of_sections(self._pool, event_id),
            waitlist_policy=event.waitlist_policy,
            waitlist_patience_ms=event.waitlist_patience_ms,
            is_draft=is_untouched(event)
            or (event.status == "draft" and not await self._is_loaded(event.shard, event_id)),
            tier_names={tier.tier_no: tier.name for tier in tiers},
            poster=events.Poster(event.name, event.starts_at, event.timezone, event.venue),
            category=event.category,
        )


def _is_on_sale(known: Known | None) -> bool:
    return known is not None and not known.is_draft


def _is_public(page: EventRows | None) -> bool:
    return page is not None and not is_untouched(page.event)

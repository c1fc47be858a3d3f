"""
What is left, pushed: the events that somebody watches, and how each differs from a moment ago.

Every `TICK_S` all watched events of a shard are asked for in one call of `availability`, however
many listen; only what differs is told, encoded once for all who listen. It is state and not
history: who comes, or comes again, is told all that is so now. The one history is that of seats,
which a listener who was away for a moment gets from where it was.

A listener may be told the same twice, and is never left with what is no longer so: each thing told
is a value, not a step.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple, Protocol

import msgspec
import structlog

from engine import outcomes
from engine.engine import Engine
from engine.errors import EngineError, EventRecovering, Overloaded, ShardRecovering
from engine.lasting import Lasting
from engine.pulse import Pulse
from engine.status import Status
from engine.tasks import end
from store import events
from store.pool import UNANSWERED, Pool
from usecases import told
from usecases.availability import tiers_of
from usecases.catalog import Catalog, Known
from usecases.denials import Denied, as_value
from usecases.moments import moment_of

log = structlog.get_logger()

TICK_S = 0.25
#: Watched events that are asked for in one tick; more take turns.
EVENTS_PER_TICK_MAX = 1_024
#: Events that are watched at all, those included that nobody listens to any more.
EVENTS_MAX = 20_000
#: How long an event is watched on that nobody listens to.
LINGER_S = 5.0
#: Listeners told in one go; others are served between.
TOLD_AT_ONCE = 500
#: A quiet stream is told that it is there still.
HEARTBEAT_S = 15.0
#: How often it is looked up when watched events start, which PostgreSQL alone knows.
STARTS_S = 2.0
STARTS_AT_ONCE = 1_024
#: What is kept of seats for who comes again, per event.
SEATS_KEPT = 256
SEATS_KEPT_BYTES = 65_536

#: Sales that no trouble pauses.
_OVER = frozenset({"closed", "ended", "cancelled"})
#: Why nobody can say what is left, by the first that fits; codes of problems.
_REASONS: Sequence[tuple[type[EngineError], str]] = (
    (EventRecovering, "event_recovering"),
    (ShardRecovering, "shard_recovering"),
    (Overloaded, "backpressure"),
    (EngineError, "redis_unavailable"),
)
#: A tier that no event has: asks the catalog to look again.
_MORE = frozenset({""})
_Status = Literal[
    "not_open", "open", "all_held", "sold_out", "paused", "closed", "ended", "cancelled"
]
_Word = Literal[
    "opened", "reopened", "all_held", "sold_out", "available", "paused", "resumed",
    "closed", "ended", "cancelled", "postponed", "moved"
]  # fmt: skip

#: Makes bytes of what is told: its name, the value, and its place (`epoch.seq`), if it has one.
Encode = Callable[[str, told.Told, str], bytes]


class Hearer(Protocol):
    """Somebody who listens."""

    def hear(self, data: bytes) -> None:
        """Take what is told, at once and without failing."""


class Place(NamedTuple):
    """A moment of a shard's journal."""

    epoch: int
    seq: int

    def text(self) -> str:
        """Return it as listeners get it and bring it back."""
        return f"{self.epoch}.{self.seq}"


class Watch:
    """One watched event: what was told of it last, and to whom."""

    __slots__ = (
        "event_id",
        "first",
        "kept",
        "kept_bytes",
        "kept_from",
        "known",
        "listeners",
        "place",
        "refused",
        "seen_s",
        "starts_at",
        "stock",
        "told_s",
        "version",
        "view",
    )

    def __init__(self, event_id: str, known: Known, view: told.LiveState, now_s: float) -> None:
        self.event_id = event_id
        self.known = known
        self.view = view
        self.listeners: set[Hearer] = set()
        self.place: Place | None = None
        self.stock: outcomes.Availability | None = None
        #: What was said instead of a stock: the event is not on sale, or no longer.
        self.refused: outcomes.Refused | None = None
        #: Of the seat map, as far as it was told.
        self.version = 0
        #: Changes of seats with their places, the oldest first, and since when they are whole.
        self.kept: deque[tuple[Place, bytes]] = deque()
        self.kept_bytes = 0
        self.kept_from: Place | None = None
        #: What who comes is told first; None: to be encoded.
        self.first: bytes | None = None
        self.starts_at = view.sale.starts_at
        #: When somebody listened last, and when anything was told, by the loop's clock.
        self.seen_s = self.told_s = now_s


class Hub:
    """Watches events for who listens; ticks until closed."""

    def __init__(
        self,
        engine: Engine,
        catalog: Catalog,
        pool: Pool,
        encode: Encode,
        *,
        heartbeat: bytes,
        on_change: Callable[[int, int], None] = lambda _changes, _listeners: None,
    ) -> None:
        """
        Args:
            pool: Is asked when events start.

            encode: Makes bytes of what is told.

            heartbeat: What a quiet stream is told.

            on_change: Told how many changes went to how many listeners.
        """
        self._engine = engine
        self._catalog = catalog
        self._pool = pool
        self._encode = encode
        self._heartbeat = heartbeat
        self._on_change = on_change
        self._watches: OrderedDict[str, Watch] = OrderedDict()
        self._beginning: dict[str, asyncio.Task[Watch]] = {}
        #: The look at each shard that is under way: one whose server hangs delays no other.
        self._looks: dict[int, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._starts_s = 0.0
        self._trouble = Lasting()

    def start(self) -> None:
        """Begin to tick."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop ticking, and what is under way."""
        await end(self._task, self._reading, *self._looks.values(), *self._beginning.values())

    def get(self, event_id: str) -> Watch | None:
        """Return the watch of an event, if somebody watches it."""
        found = self._watches.get(event_id)
        if found is not None:
            found.seen_s = _now_s()
        return found

    async def begin(self, event_id: str, known: Known) -> Watch:
        """
        Begin to watch an event, once for all who ask at the same time.

        Raises:
            Overloaded: as many events are watched as may be.
        """
        task = self._beginning.get(event_id)
        if task is None:
            if len(self._watches) + len(self._beginning) >= EVENTS_MAX:
                raise Overloaded
            task = asyncio.get_running_loop().create_task(self._begin(event_id, known))
            self._beginning[event_id] = task
            task.add_done_callback(lambda _: self._beginning.pop(event_id, None))
        return await asyncio.shield(task)

    def join(self, watch: Watch, listener: Hearer, seen: Place | None) -> bytes:
        """
        Add a listener; return what it is told first.

        Args:
            seen: What it was told last, on an earlier stream; None: nothing.
        """
        self._watches.setdefault(watch.event_id, watch)
        watch.listeners.add(listener)
        if watch.first is None:
            place = "" if watch.place is None else watch.place.text()
            watch.first = self._encode("state", watch.view, place)
        if seen is None or not watch.known.section_tiers or seen == watch.place:
            return watch.first
        return watch.first + self._seats_since(watch, seen)

    def leave(self, watch: Watch, listener: Hearer) -> None:
        """Take a listener away."""
        watch.listeners.discard(listener)
        watch.seen_s = _now_s()

    def _seats_since(self, watch: Watch, seen: Place) -> bytes:
        """
        Return the changes of seats behind a place; or that the map is to be read anew.

        Seats are read behind the stock whose place they are told at, so what was told last before
        *seen* may have some of what came after it: it is told once more.
        """
        kept_from = watch.kept_from
        if kept_from is None or seen.epoch != kept_from.epoch or seen < kept_from:
            return self._encode("seats", told.LiveSeats(version=watch.version, changes=None), "")
        first = 0
        for number, (place, _) in enumerate(watch.kept):
            if place <= seen:
                first = number
        return b"".join([data for _, data in list(watch.kept)[first:]])

    async def _begin(self, event_id: str, known: Known) -> Watch:
        """Look at an event for the first time."""
        nothing = told.LiveSale(
            status="paused",
            reason=None,
            opens_at=None,
            closes_at=None,
            starts_at=None if known.poster is None else known.poster.starts_at,
        )
        as_of = dt.datetime.now(dt.UTC)
        view = told.LiveState(
            event_id=event_id, as_of=as_of, sale=nothing, tiers=[], seats_version=None
        )
        watch = Watch(event_id, known, view, _now_s())
        if known.section_tiers:
            # Before the stock, so that all behind the stock's place is behind this version.
            with contextlib.suppress(EngineError):
                pulse = await self._engine.pulse(known.shard, [event_id])
                watch.version = pulse.versions[event_id]
        await self._look(known.shard, [watch])
        if watch.refused is None:
            self._watches[event_id] = watch
        return watch

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        next_s = loop.time()
        while True:
            next_s = max(next_s + TICK_S, loop.time())
            await asyncio.sleep(next_s - loop.time())
            try:
                await self._tick(loop)
            except Exception as error:
                if self._trouble.is_news(repr(error)):
                    log.error("live tick failed", action="live_failed", exc_info=error)
            else:
                self._trouble.end()

    async def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the watched events, shard by shard, and beat where it is quiet."""
        now_s = loop.time()
        by_shard: dict[int, list[Watch]] = defaultdict(list)
        for watch in self._due(now_s):
            by_shard[watch.known.shard].append(watch)
        for shard, watches in by_shard.items():
            if shard not in self._looks:
                task = self._looks[shard] = loop.create_task(self._look_safely(shard, watches))
                task.add_done_callback(partial(self._looked, shard))
        if now_s - self._starts_s >= STARTS_S:
            self._starts_s = now_s
            if self._reading is None or self._reading.done():
                self._reading = loop.create_task(self._read_starts())
        for watch in list(self._watches.values()):
            if now_s - watch.told_s >= HEARTBEAT_S:
                await self._tell(watch, self._heartbeat)

    def _due(self, now_s: float) -> list[Watch]:
        """Return the events to be looked at; forget those that nobody listens to."""
        due: list[Watch] = []
        for watch in list(self._watches.values()):
            if watch.listeners:
                if len(due) < EVENTS_PER_TICK_MAX:
                    due.append(watch)
            elif now_s - watch.seen_s >= LINGER_S:
                del self._watches[watch.event_id]
        if len(due) == EVENTS_PER_TICK_MAX:
            for watch in due:
                self._watches.move_to_end(watch.event_id)
        return due

    def _looked(self, shard: int, _task: asyncio.Task[None]) -> None:
        self._looks.pop(shard, None)

    async def _look_safely(self, shard: int, watches: Sequence[Watch]) -> None:
        try:
            await self._look(shard, watches)
        except Exception as error:
            if self._trouble.is_news(repr(error)):
                log.error("live look failed", action="live_failed", exc_info=error)

    async def _look(self, shard: int, watches: Sequence[Watch]) -> None:
        """Ask one shard of all these events, and tell what differs."""
        engine = self._engine
        try:
            epoch = engine.epoch(shard)
            # They leave in one call, since they are asked in one turn of the loop.
            asked = [engine.availability(shard, watch.event_id) for watch in watches]
            found = await asyncio.gather(*asked, return_exceptions=True)
            if engine.epoch(shard) != epoch:
                return  # Nobody can say of which epoch this is; the next tick can.
        except EngineError as error:
            epoch, found = 0, [error] * len(watches)
        at_ms = max(
            (one.at_ms for one in found if isinstance(one, outcomes.Availability)), default=0
        )
        pulse = await self._pulse(shard, watches, at_ms) if at_ms else None
        if pulse is not None and pulse.epoch != epoch:
            pulse = None
        for watch, one in zip(watches, found, strict=True):
            if isinstance(one, outcomes.Availability):
                place = Place(epoch, one.seq)
                seats = await self._seats(watch, place, pulse)
                reason = "backpressure" if pulse is not None and pulse.is_full else None
                notes = self._take(watch, place, one, reason, seats)
            else:
                notes = self._lack(watch, one)
            if notes:
                await self._tell(watch, b"".join(notes), len(notes))

    async def _pulse(self, shard: int, watches: Sequence[Watch], at_ms: int) -> Pulse | None:
        seated = [watch.event_id for watch in watches if watch.known.section_tiers]
        try:
            return await self._engine.pulse(shard, seated, now_ms=at_ms)
        except EngineError:
            return None

    async def _seats(
        self, watch: Watch, place: Place, pulse: Pulse | None
    ) -> told.LiveSeats | None:
        """Return what changed in an event's seats since it was told last."""
        if pulse is None or not watch.known.section_tiers:
            return None
        # Of another epoch: versions of then say nothing now.
        is_anew = watch.kept_from is not None and watch.kept_from.epoch != place.epoch
        if pulse.versions[watch.event_id] == watch.version and not is_anew:
            return None
        try:
            found = await self._engine.seats(watch.known.shard, watch.event_id, since=watch.version)
        except EngineError:
            return None
        if isinstance(found, outcomes.Refused):
            return None
        if is_anew or isinstance(found, outcomes.SeatMap):
            return told.LiveSeats(version=found.version, changes=None)
        changes = [
            told.SeatChange(version=version, status=letter, seat_ids=list(seat_ids))
            for version, letter, seat_ids in found.changes
        ]
        return told.LiveSeats(version=found.version, changes=changes)

    def _take(
        self,
        watch: Watch,
        place: Place,
        stock: outcomes.Availability,
        reason: str | None,
        seats: told.LiveSeats | None,
    ) -> list[bytes]:
        """Note what is so now; return what differs, encoded. Nothing waits in here."""
        before = watch.view
        tiers = tiers_of(watch.known, stock.stock)
        sale = _sale_of(stock, tiers, watch, reason)
        as_of, at = moment_of(stock.at_ms), place.text()
        if seats is not None:
            watch.version = seats.version
        elif watch.kept_from is None:
            watch.kept_from = place
        is_seated = bool(watch.known.section_tiers)
        watch.view = told.LiveState(
            event_id=watch.event_id,
            as_of=as_of,
            sale=sale,
            tiers=tiers,
            seats_version=watch.version if is_seated else None,
        )
        notes = []
        if watch.stock is None:
            notes.append(self._encode("state", watch.view, at))
        else:
            changed = [tier for tier in tiers if tier not in before.tiers]
            if changed:
                notes.append(self._encode("tiers", told.LiveTiers(as_of=as_of, tiers=changed), at))
            if sale != before.sale:
                notes.append(self._encode("sale", _change_of(before.sale, sale, as_of), at))
        if seats is not None:
            notes.append(self._keep(watch, place, seats))
        watch.stock, watch.place = stock, place
        if notes:
            watch.first = None
        return notes

    def _keep(self, watch: Watch, place: Place, seats: told.LiveSeats) -> bytes:
        """Encode a change of seats, and keep it for who comes again."""
        data = self._encode("seats", seats, place.text())
        if seats.changes is None:
            watch.kept.clear()
            watch.kept_bytes, watch.kept_from = 0, place
            return data
        if watch.kept_from is None:
            watch.kept_from = place
        watch.kept.append((place, data))
        watch.kept_bytes += len(data)
        while watch.kept_bytes > SEATS_KEPT_BYTES or len(watch.kept) > SEATS_KEPT:
            watch.kept_bytes -= len(watch.kept.popleft()[1])
            watch.kept_from = watch.kept[0][0] if watch.kept else place
        return data

    def _lack(self, watch: Watch, why: object) -> list[bytes]:
        """Note that nobody can say what is left, or that nothing is sold any more."""
        before = watch.view.sale
        if isinstance(why, outcomes.Refused):
            watch.refused = why
            sale = msgspec.structs.replace(before, status="ended", reason=None)
        elif isinstance(why, Overloaded) and watch.stock is not None:
            return []  # Of this process alone, and soon over.
        elif isinstance(why, EngineError):
            reason = next(code for kind, code in _REASONS if isinstance(why, kind))
            sale = msgspec.structs.replace(before, status="paused", reason=reason)
        else:
            assert isinstance(why, BaseException)
            raise why
        if before.status in _OVER or sale == before:
            return []
        watch.view = msgspec.structs.replace(watch.view, sale=sale)
        watch.first = None
        change = _change_of(before, sale, dt.datetime.now(dt.UTC))
        return [self._encode("sale", change, "" if watch.place is None else watch.place.text())]

    async def _tell(self, watch: Watch, data: bytes, changes: int = 0) -> None:
        """Tell all who listen now, some hundreds at a time."""
        listeners = list(watch.listeners)
        watch.told_s = _now_s()
        if changes:
            self._on_change(changes, len(listeners))
        for number, listener in enumerate(listeners, start=1):
            listener.hear(data)
            if number % TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _read_starts(self) -> None:
        """Look when the watched events start, and whether they have tiers that are not known."""
        watches = [watch for watch in self._watches.values() if watch.listeners]
        try:
            for first in range(0, len(watches), STARTS_AT_ONCE):
                some = watches[first : first + STARTS_AT_ONCE]
                found = await events.posters(self._pool, [watch.event_id for watch in some])
                for watch in some:
                    if watch.event_id in found:
                        watch.starts_at = found[watch.event_id].starts_at
                    wanted = _MORE if _has_more_tiers(watch) else frozenset[str]()
                    known = await self._catalog.find(watch.event_id, wanted_tier_ids=wanted)
                    watch.known = known or watch.known
        except UNANSWERED:
            pass  # It is looked up again in a moment.


@as_value
async def watched(hub: Hub, catalog: Catalog, event_id: str) -> Watch:
    """
    Return the watch of an event, whose listeners one joins with `Hub.join`.

    Denies what is not there or not on sale. A shard that is shut is no denial: the sale is paused.

    Raises:
        Overloaded: as many events are watched as may be.
    """
    found = hub.get(event_id)
    if found is not None:
        return found
    known = catalog.get(event_id) or await catalog.need(event_id)
    begun = await hub.begin(event_id, known)
    if begun.refused is not None:
        raise Denied(Status.NOT_ON_SALE)
    return begun


def _has_more_tiers(watch: Watch) -> bool:
    """Tell whether an event has tiers on sale that the catalog did not know."""
    return watch.stock is not None and (
        int(watch.stock.stock.get("tier_count", 0)) > len(watch.known.tier_ids)
    )


def _sale_of(
    stock: outcomes.Availability,
    tiers: Sequence[told.TierAvailability],
    watch: Watch,
    reason: str | None,
) -> told.LiveSale:
    """Return where a sale stands by its stock."""
    rules, at_ms = stock.stock, stock.at_ms
    opens_at_ms, closes_at_ms = int(rules["opens_at_ms"]), int(rules["closes_at_ms"])
    ends_at_ms = int(rules.get("ends_at_ms", 0))
    statuses = {tier.status for tier in tiers}
    status: _Status
    if "cancelled_at_ms" in rules:
        status = "cancelled"
    elif ends_at_ms and at_ms >= ends_at_ms and not rules.get("after_end"):
        status = "ended"
    elif at_ms >= closes_at_ms:
        status = "closed"
    elif at_ms < opens_at_ms:
        status = "not_open"
    elif reason is not None:
        status = "paused"
    elif not tiers or statuses & {"available", "kept_for_waitlist"}:
        status = "open"
    else:
        status = "all_held" if "all_held" in statuses else "sold_out"
    return told.LiveSale(
        status=status,
        reason=reason if status == "paused" else None,
        opens_at=moment_of(opens_at_ms),
        closes_at=moment_of(closes_at_ms),
        starts_at=watch.starts_at,
    )


def _change_of(before: told.LiveSale, after: told.LiveSale, as_of: dt.datetime) -> told.LiveChange:
    """Say in a word what became of a sale."""
    return told.LiveChange(
        **msgspec.structs.asdict(after), change=_word_of(before, after), as_of=as_of
    )


def _word_of(before: told.LiveSale, after: told.LiveSale) -> _Word:
    """Return the word for what happened between two states of a sale."""
    was, now = before.status, after.status
    if now in {was, "not_open"}:
        is_later = before.starts_at and after.starts_at and after.starts_at > before.starts_at
        return "postponed" if is_later else "moved"
    if now != "open":
        return now
    words: dict[str, _Word] = {"paused": "resumed", "not_open": "opened", "closed": "reopened"}
    return words.get(was, "available")


def _now_s() -> float:
    return asyncio.get_running_loop().time()

"""
Mending: finding the events of a shard that have lost a key, and rebuilding those alone.

An eviction policy that was switched on, or a hand, takes single keys. Each key of an event has a
mark from its publishing on (`engine.keys.MARK`), so that none is ever empty and a lost one is
missed: by scripts at first touch, which refuse, and here, by looking at some events after the
other. Such an event is shut (`lua/recovery/shut.lua`); once PostgreSQL has all that was done to it
before, it is loaded from there, counted, and opened. The others sell on.

A shard that is being opened is looked at whole, before its door opens. Events of older code get
their marks there, where what both stores have of them agrees.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from engine import keys
from engine.errors import CorruptRecord
from engine.lasting import Lasting
from engine.tasks import end
from reconciler.event.hashes import read_texts
from reconciler.event.violation import Violation
from reconciler.recover.loader import ClaimLost, Loader, Shut, recovery_script
from reconciler.recover.rebuild import CannotRebuild, Rebuild
from store import damage, quarantine, reigns
from store.sql import query

log = structlog.get_logger()

#: Events that one turn looks at, and one script call: well under a ms of Redis each.
TURN_EVENTS_MAX = 100
CALL_EVENTS_MAX = 50
#: How long PostgreSQL may take to have what Redis did before an event was shut, in seconds.
CATCH_UP_S_MAX = 10.0
CATCH_UP_PAUSE_S = 0.05
#: How long an event is left alone whose rebuild has failed, in seconds.
RETRY_S = 5.0
#: The first version of records in whose reigns keys are marked.
MARKS_SINCE = 2

#: What `lua/recovery/whole.lua` says of an event of older code.
UNMARKED = "unmarked"

#: What is wrong with one event, and none of the others' business.
OF_ONE = (CannotRebuild, CorruptRecord, ClaimLost, ResponseError)


#: Takes shard, client, keys, event and its bookings; returns what does not add up.
Count = Callable[[int, Redis, keys.EventKeys, str, int], Awaitable[list[Violation]]]


@dataclass(kw_only=True, slots=True)
class Mender:
    """Mends the events of one shard."""

    shard: int
    redis: Redis
    #: A connection of one's own.
    database: asyncpg.Connection
    #: Longest life of a hold, in ms.
    hold_life_max_ms: int
    #: Counts what was loaded: `reconciler.recover.verify.count`.
    count: Count
    _after: str = ""
    #: When an event that could not be rebuilt is tried again, by the monotonic clock.
    _not_before_s: dict[str, float] = field(default_factory=dict)
    _troubles: defaultdict[str, Lasting] = field(default_factory=lambda: defaultdict(Lasting))

    async def turn(self) -> list[str]:
        """
        Look at the next events of an open shard, and rebuild what is damaged.

        Returns:
            The events that were rebuilt.

        Raises:
            RedisError, PostgresError, OSError: nothing is lost; the next turn goes on.
        """
        reign = await reigns.read(self.database, self.shard)
        if reign is None or reign.state != "open":
            return []
        found = await damage.on_sale(
            self.database, self.shard, after=self._after, most=TURN_EVENTS_MAX
        )
        self._after = found[-1] if len(found) == TURN_EVENTS_MAX else ""
        looks = await self.look(found, reign.epoch)
        for event_id in await damage.without_rows(self.database, self.shard):
            if looks.get(event_id, []) in ([], [UNMARKED]):
                looks[event_id] = [damage.ROWS]
        whole = [event_id for event_id, lost in looks.items() if not lost]
        await damage.note_whole(self.database, whole)
        damaged = {key: lost for key, lost in looks.items() if lost and lost != [UNMARKED]}
        if not damaged:
            return []
        marks = reign.records_version >= MARKS_SINCE
        async with damage.mending(self.database, self.shard) as is_ours:
            return [
                event_id
                for event_id, lost in damaged.items()
                if is_ours
                and await self._try(event_id, lost, epoch=reign.epoch, state="open", marks=marks)
            ]

    async def open_whole(
        self, epoch: int, *, marks: bool, check_claim: Callable[[], None]
    ) -> list[str]:
        """
        Look at all events of a shard that is shut, with all its records in PostgreSQL.

        An event that cannot be rebuilt stays shut; it does not keep the others.

        Args:
            epoch: The claim.

            marks: Whether keys shall be marked.

        Returns:
            The events that were rebuilt.
        """
        rebuilt: list[str] = []
        without_rows = set(await damage.without_rows(self.database, self.shard))
        after = ""
        while True:
            found = await damage.on_sale(
                self.database, self.shard, after=after, most=TURN_EVENTS_MAX
            )
            if not found:
                return rebuilt
            after = found[-1]
            check_claim()
            for event_id, lost in (await self.look(found, epoch)).items():
                missing = lost
                if lost == [UNMARKED]:
                    missing = await self._missing(event_id)
                    if not missing and marks:
                        await self._mark(event_id, epoch)
                if not missing and event_id in without_rows:
                    missing = [damage.ROWS]
                if missing and await self._try(
                    event_id, missing, epoch=epoch, state="recovering", marks=marks
                ):
                    rebuilt.append(event_id)
                check_claim()

    async def look(self, event_ids: Sequence[str], epoch: int) -> dict[str, list[str]]:
        """
        Say which keys each event has lost; `UNMARKED` stands for: nobody can say.

        Args:
            epoch: Of the shard as it is open, or claimed.

        Raises:
            ClaimLost: it is another's.
        """
        found: dict[str, list[str]] = {}
        shard = self.shard
        its_keys = [keys.meta(shard), keys.events(shard), keys.due(shard), keys.cancelling(shard)]
        for start in range(0, len(event_ids), CALL_EVENTS_MAX):
            part = event_ids[start : start + CALL_EVENTS_MAX]
            names = [*its_keys, *(name for own in part for name in keys.event(shard, own))]
            script = recovery_script("whole")
            replies = await self._call(script, names, epoch, *part)
            for event_id, reply in zip(part, replies, strict=True):
                found[event_id] = reply.decode().split()
        return found

    async def rebuild(
        self, event_id: str, lost: Sequence[str], *, epoch: int, state: str, marks: bool
    ) -> None:
        """
        Shut one event, load it from PostgreSQL, and open it.

        Atomicity: the event sells again by one transaction, with all its keys in place. After a
        crash before it, it is shut and found damaged.

        Args:
            lost: What it had lost, for the note; nothing: it is loaded anew for another reason.

            epoch, state: Of the shard: it is `open`, or claimed and `recovering`.

            marks: Whether its keys shall be marked.

        Raises:
            CannotRebuild, CorruptRecord, ClaimLost: it stays shut; the message says why.
        """
        began_s = time.monotonic()
        shut = await self._shut(event_id, epoch, state)
        if lost and await damage.note(self.database, self.shard, event_id, lost):
            log.error(
                "event has lost keys",
                action="event_damaged",
                shard=self.shard,
                event_id=event_id,
                lost=" ".join(lost),
            )
        if state == "open":
            await self._catch_up(shut)
        held = await quarantine.held(self.database, self.shard)
        if held:
            raise CannotRebuild(f"{held} records are in quarantine: `reconciler quarantine list`")
        rebuild = Rebuild(
            shard=self.shard,
            epoch=epoch,
            redis=self.redis,
            database=self.database,
            hold_life_max_ms=self.hold_life_max_ms,
            marks=marks,
            check_claim=lambda: None,  # Each batch is refused once another rebuilds the event.
            event=shut,
        )
        rebuilt = await rebuild.run()
        bookings = rebuilt.counts[event_id]
        names = rebuild.names(event_id)
        found = await self.count(self.shard, self.redis, names, event_id, bookings)
        if found:
            raise CannotRebuild(f"what was rebuilt does not add up: {found[0].message}")
        async with Loader(self.redis, self.shard, epoch, event=shut) as loader:
            await loader.open(self.shard, shut, is_marked=marks)
        await damage.note_whole(self.database, [event_id])
        log.warning(
            "event rebuilt",
            action="event_rebuilt",
            shard=self.shard,
            event_id=event_id,
            bookings=bookings,
            holds=rebuilt.holds,
            holds_dropped=rebuilt.dropped_holds,
            seconds=round(time.monotonic() - began_s, 3),
        )

    async def _try(
        self, event_id: str, lost: Sequence[str], *, epoch: int, state: str, marks: bool
    ) -> bool:
        """Rebuild an event, unless that failed a moment ago; tell whether it is whole now."""
        if time.monotonic() < self._not_before_s.get(event_id, 0.0):
            return False
        try:
            await self.rebuild(event_id, lost, epoch=epoch, state=state, marks=marks)
        except OF_ONE as error:
            self._not_before_s[event_id] = time.monotonic() + RETRY_S
            why = f"{type(error).__name__}: {error}"
            if self._troubles[event_id].is_news(why):
                log.error(
                    "event stays shut",
                    action="event_not_rebuilt",
                    shard=self.shard,
                    event_id=event_id,
                    error=why,
                )
            return False
        self._not_before_s.pop(event_id, None)
        self._troubles.pop(event_id, None)
        return True

    async def _shut(self, event_id: str, epoch: int, state: str) -> Shut:
        names = [
            keys.meta(self.shard),
            keys.due(self.shard),
            keys.events(self.shard),
            keys.shut(self.shard, event_id),
            *keys.event(self.shard, event_id),
        ]
        name = secrets.token_hex(8)
        words = await self._call(recovery_script("shut"), names, epoch, state, event_id, name)
        return Shut(event_id, name, *map(int, words))

    async def _catch_up(self, shut: Shut) -> None:
        """Wait until PostgreSQL has all records up to the event's shutting."""
        until_s = time.monotonic() + CATCH_UP_S_MAX
        while True:
            seq = await self.database.fetchval(query("read_checkpoint"), self.shard, shut.epoch)
            if (seq or 0) >= shut.seq:
                return
            if time.monotonic() >= until_s:
                raise CannotRebuild(f"PostgreSQL has {seq or 0} of {shut.seq} records: persister?")
            await asyncio.sleep(CATCH_UP_PAUSE_S)

    async def _missing(self, event_id: str) -> list[str]:
        """
        Return which keys of an event of older code are not there and must be.

        Such keys have no marks, and one that holds nothing is not there: what they must hold is
        told by the counters beside them, and by PostgreSQL, which has all of it.
        """
        names = keys.event(self.shard, event_id)
        stock = await read_texts(self.redis, names.stock)
        kept = await damage.kept(self.database, event_id)
        async with self.redis.pipeline(transaction=True) as pipeline:
            for name in names:
                pipeline.zcard(name) if name in keys.sorted_sets(names) else pipeline.hlen(name)
            there = dict(zip(keys.EventKeys._fields, await pipeline.execute(), strict=True))

        def places(counter: str) -> int:
            tiers = range(1, int(stock.get("tier_count", 0)) + 1)
            return sum(int(stock.get(f"{n}.{counter}", 0)) for n in tiers)

        held = places("held")
        is_seated = any(field.endswith(".sections") for field in stock)
        missing = {
            "bookings": there["bookings"] != kept.bookings,
            "persons": not there["persons"] and places("sold") + held > 0,
            "holds": not there["holds"] and held > 0,
            "deadlines": not there["deadlines"] and held > 0,
            "ended": there["holds"] != there["deadlines"] + there["ended"],
            "seats": not there["seats"] and is_seated,
            "waitlist": not there["waitlist"] and places("waiting") > 0,
            "entries": not there["entries"] and kept.entries > 0,
            "tickets": there["tickets"] < kept.tickets,
            "promos": not there["promos"] and kept.promos > 0,
        }
        return [name for name, is_missing in missing.items() if is_missing]

    async def _mark(self, event_id: str, epoch: int) -> None:
        names = [keys.meta(self.shard), *keys.event(self.shard, event_id)]
        await self._call(recovery_script("mark"), names, epoch)

    async def _call(self, script: str, names: Sequence[str], *words: Any) -> Any:
        try:
            return await self.redis.eval(script, len(names), *names, *words)
        except ResponseError as error:
            if str(error).startswith("FENCED"):
                raise ClaimLost(f"Redis is not the caller's: {error}") from error
            raise


class Tender:
    """Takes turns of a mender in the background, over a connection to PostgreSQL of its own."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        make: Callable[[asyncpg.Connection], Mender],
    ) -> None:
        """
        Args:
            connect: Opens the connection.

            make: Makes the mender that uses it.
        """
        self._connect = connect
        self._make = make
        self._mender: Mender | None = None
        self._turn: asyncio.Task[None] | None = None
        self._trouble = Lasting()

    def tend(self) -> None:
        """Let a turn begin, unless one is under way."""
        if self._turn is None or self._turn.done():
            self._turn = asyncio.create_task(self._take_turn())

    async def rest(self) -> None:
        """End a turn that is under way; what it was rebuilding stays shut."""
        await end(self._turn)
        self._turn = None
        self._leave()

    async def _take_turn(self) -> None:
        try:
            if self._mender is None:
                self._mender = self._make(await self._connect())
            await self._mender.turn()
            if self._trouble.end():
                log.info("events are looked at again", action="mend_goes_on")
        except Exception as error:  # noqa: BLE001  Whatever it is, the shard stays open.
            if self._trouble.is_news(repr(error)):
                log.warning("events are not looked at", action="mend_failed", error=repr(error))
            self._leave()

    def _leave(self) -> None:
        if self._mender is not None:
            self._mender.database.terminate()
            self._mender = None

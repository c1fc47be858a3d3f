"""
Keeping shards open: one coordinator each, beginning anew after every error, until told to stop.
"""

from __future__ import annotations

import asyncio
import signal
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial

import asyncpg
import structlog
from redis.exceptions import RedisError

from engine.lasting import Lasting
from reconciler.recover.coordinator import Coordinator, MoreRecords, coordinator_of, make_mender
from reconciler.recover.decide import CannotOpen
from reconciler.recover.frozen import remedy
from reconciler.recover.mend import Tender
from reconciler.recover.recovered import Recovered
from reconciler.servers import Servers, chosen
from reconciler.tending import tend_all
from store import ledger, reigns
from store.pool import AWAY, UNANSWERED
from store.pool import connect as connect_database

log = structlog.get_logger()

WATCH_INTERVAL_S = 0.25
#: Pause before a shard that could not be opened is tried again, in seconds: first while its server
#: is likely to come back at once, then while it is not.
RETRY_FIRST_S = 0.1
RETRY_INTERVAL_S = 0.5
#: So many attempts in a row that fail at once, each within so many seconds, are quick.
QUICK_RETRIES_MAX = 20
QUICK_S = 1.0

#: What leaves a shard shut until the next attempt.
SHUT = (CannotOpen, ledger.LedgerError, RedisError, *UNANSWERED)


async def run(
    servers: Servers,
    *,
    only: int | None = None,
    shards_at_first: int = 1,
    watch: bool,
    is_rebuild_forced: bool = False,
    more_records: MoreRecords | None = None,
    tell: Callable[[Recovered], None] = lambda _: None,
) -> int:
    """
    Open the shards that there are; with *watch*, keep them open until SIGTERM, and those that are
    added.

    Args:
        only: The one shard to open; all if not given.

        shards_at_first: How many a deployment begins with that has none yet.

        is_rebuild_forced, more_records: See `Coordinator`.

        tell: Takes what was done, once per shard that was opened.

    Returns:
        Exit code: 0 all open, 2 at least one could not be opened.
    """
    stopping, voice = asyncio.Event(), _Voice()
    for number in (signal.SIGTERM, signal.SIGINT) if watch else ():
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    own_database = partial(
        connect_database, servers.database_url, timeout_ms=servers.database_timeout_ms
    )
    make = partial(coordinator_of, servers, more_records=more_records)
    hold_life_max_ms = servers.hold_life_max_ms

    async def work(shard: int, database: asyncpg.Connection) -> None:
        home = await reigns.home_of(database, shard, list(servers.redis_servers))
        async with servers.server(home) as client:
            coordinator = make(shard, client, database, home=home)
            tender = Tender(
                own_database, lambda own: make_mender(shard, client, own, hold_life_max_ms)
            )
            if is_rebuild_forced:
                await coordinator.recover(is_rebuild_forced=True)
            await _keep_open(
                coordinator, tender, stopping, watch=watch, tell_well=partial(voice.is_well, shard)
            )
            if coordinator.recovered is not None:
                tell(coordinator.recovered)

    async def tend(shard: int) -> bool:
        retries = _Retries()
        while not stopping.is_set():
            retries.begin()
            if await _try(work, shard, servers, voice):
                if not watch:
                    return True
            elif not watch:
                return False
            await _pause(stopping, retries.pause_s())
        return True

    find = partial(_find, servers, only, shards_at_first, voice)
    return 0 if await tend_all(find, tend, stopping, once=not watch) else 2


async def _find(
    servers: Servers, only: int | None, shards_at_first: int, voice: _Voice
) -> list[int] | None:
    """Return the shards that there are, or *only* one; a new deployment gets its first ones."""
    try:
        async with servers.database() as database:
            if await reigns.begin(database, shards_at_first, list(servers.redis_servers)):
                log.info("shards begun", action="shards_begun", shards=shards_at_first)
            found = await chosen(database, only)
    except SHUT as error:
        voice.cannot_find(error)
        return None
    voice.has_found()
    return found


class _Retries:
    """How soon a shard that could not be kept open is tried again."""

    def __init__(self) -> None:
        self._began_s = 0.0
        self._failures = 0

    def begin(self) -> None:
        """An attempt begins."""
        self._began_s = asyncio.get_running_loop().time()

    def pause_s(self) -> float:
        """Return the pause after it failed."""
        took_s = asyncio.get_running_loop().time() - self._began_s
        self._failures = self._failures + 1 if took_s < QUICK_S else 0
        return RETRY_FIRST_S if self._failures <= QUICK_RETRIES_MAX else RETRY_INTERVAL_S


async def thaw(*, database_url: str, database_timeout_ms: int, shard: int) -> bool:
    """Let coordinators try a frozen shard again; a human has looked. False if it is not frozen."""
    database = await connect_database(database_url, timeout_ms=database_timeout_ms)
    try:
        return await reigns.thaw(database, shard)
    finally:
        await database.close(timeout=database_timeout_ms / 1000)


class _Voice:
    """What the log says of troubles that last: each once, and once when it is over."""

    def __init__(self) -> None:
        self._away = Lasting()
        self._finding = Lasting()
        self._of_shard: defaultdict[int, Lasting] = defaultdict(Lasting)
        #: Shards whose last try failed at PostgreSQL.
        self._hindered: set[int] = set()

    def cannot_find(self, error: BaseException) -> None:
        """Hear that the shards could not be asked for."""
        if isinstance(error, AWAY):
            self._is_away(error)
        elif self._finding.is_news(said(error)):
            log.error("cannot find shards", action="recover_find", error=said(error))

    def has_found(self) -> None:
        """Hear that PostgreSQL has told the shards."""
        self._finding.end()
        if not self._hindered and self._away.end():
            log.info("PostgreSQL answers again", action="database_back")

    def cannot_open(self, shard: int, error: BaseException) -> None:
        """Hear that a shard is shut, or that PostgreSQL does not let anybody look."""
        if isinstance(error, AWAY):
            self._hindered.add(shard)
            self._is_away(error)
            return
        self._hindered.discard(shard)
        if self._of_shard[shard].is_news(said(error)):
            fields = {"action": "recover_failed", "shard": shard, "error": said(error)}
            if "is frozen: " in str(error):
                fields["do"] = remedy(shard, str(error))
            log.error("shard is shut", **fields)

    def is_well(self, shard: int) -> None:
        """Hear that a shard is open."""
        self._hindered.discard(shard)
        if self._of_shard[shard].end():
            log.info("shard is well again", action="recover_well", shard=shard)

    def _is_away(self, error: BaseException) -> None:
        if self._away.is_news("away"):  # Refused, then starting up: one outage.
            log.warning(
                "PostgreSQL does not answer: open shards sell on, none is opened, moved or mended",
                action="database_away",
                error=said(error),
            )


async def _try(
    work: Callable[[int, asyncpg.Connection], Awaitable[None]],
    shard: int,
    servers: Servers,
    voice: _Voice,
) -> bool:
    """Do *work* over a connection of its own; False if that failed, which is told."""
    try:
        async with servers.database() as database:
            await work(shard, database)
    except SHUT as error:
        voice.cannot_open(shard, error)
        return False
    return True


def said(error: BaseException) -> str:
    """Say what went wrong."""
    return f"{type(error).__name__}: {error}"


async def _keep_open(
    coordinator: Coordinator,
    tender: Tender,
    stopping: asyncio.Event,
    *,
    watch: bool,
    tell_well: Callable[[], None],
) -> None:
    try:
        while not stopping.is_set():
            if not await coordinator.is_well():
                await tender.rest()
                await coordinator.recover()
            else:
                tell_well()
                if watch:
                    tender.tend()
            if not watch:
                if await coordinator.is_well():
                    return
                raise CannotOpen("another coordinator has the shard; try again")
            await _pause(stopping, WATCH_INTERVAL_S)
    finally:
        await tender.rest()


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return

"""
Keeping shards open: one coordinator each, beginning anew after every error, until told to stop.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from functools import partial

import asyncpg
import structlog
from redis.exceptions import RedisError

from reconciler.recover.coordinator import Coordinator, MoreRecords, coordinator_of, make_mender
from reconciler.recover.decide import CannotOpen
from reconciler.recover.mend import Tender
from reconciler.recover.recovered import Recovered
from reconciler.servers import Servers, chosen
from store import ledger, reigns
from store.pool import connect as connect_database

log = structlog.get_logger()

WATCH_INTERVAL_S = 0.25
RETRY_INTERVAL_S = 0.5
#: Pause between two looks for shards that were added, in seconds.
FIND_INTERVAL_S = 2.0

#: What leaves a shard shut until the next attempt.
SHUT = (
    CannotOpen,
    ledger.LedgerError,
    RedisError,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


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
    stopping = asyncio.Event()
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
            await _keep_open(coordinator, tender, stopping, watch=watch)
            if coordinator.recovered is not None:
                tell(coordinator.recovered)

    async def tend(shard: int) -> bool:
        while not stopping.is_set():
            if await _try(work, shard, servers):
                if not watch:
                    return True
            elif not watch:
                return False
            await _pause(stopping, RETRY_INTERVAL_S)
        return True

    async def find() -> list[int]:
        async with servers.database() as database:
            if await reigns.begin(database, shards_at_first, list(servers.redis_servers)):
                log.info("shards begun", action="shards_begun", shards=shards_at_first)
            return await chosen(database, only)

    tended: dict[int, asyncio.Task[bool]] = {}
    failure = ""
    while not stopping.is_set():
        try:
            for shard in await find():
                if shard not in tended:
                    tended[shard] = asyncio.create_task(tend(shard))
            failure = ""
        except SHUT as error:
            if repr(error) != failure:  # Said once, however long it takes.
                failure = repr(error)
                log.error("cannot find shards", action="recover_find", error=said(error))
        if not watch:
            break
        await _pause(stopping, FIND_INTERVAL_S)
        for task in tended.values():
            if task.done():
                task.result()  # A bug ends the process, which is started anew.
    opened = await asyncio.gather(*tended.values())
    return 0 if opened and all(opened) and not failure else 2


async def thaw(*, database_url: str, database_timeout_ms: int, shard: int) -> bool:
    """Let coordinators try a frozen shard again; a human has looked. False if it is not frozen."""
    database = await connect_database(database_url, timeout_ms=database_timeout_ms)
    try:
        return await reigns.thaw(database, shard)
    finally:
        await database.close(timeout=database_timeout_ms / 1000)


async def _try(
    work: Callable[[int, asyncpg.Connection], Awaitable[None]], shard: int, servers: Servers
) -> bool:
    """Do *work* over a connection of its own; False if the shard is shut, which is logged."""
    try:
        async with servers.database() as database:
            await work(shard, database)
    except SHUT as error:
        log.error("shard is shut", action="recover_failed", shard=shard, error=said(error))
        return False
    return True


def said(error: BaseException) -> str:
    """Say what went wrong."""
    return f"{type(error).__name__}: {error}"


async def _keep_open(
    coordinator: Coordinator, tender: Tender, stopping: asyncio.Event, *, watch: bool
) -> None:
    try:
        while not stopping.is_set():
            if not await coordinator.is_well():
                await tender.rest()
                await coordinator.recover()
            elif watch:
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

"""
Keeping shards open: one coordinator each, beginning anew after every error, until told to stop.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import asyncpg
import structlog
from redis.exceptions import RedisError

from engine.durability import Durability
from engine.redis_client import connect as connect_redis
from reconciler.recover.coordinator import (
    BACKLOG_AGE_MS_MAX,
    BACKLOG_BYTES_MAX,
    Coordinator,
    MoreRecords,
    make_mender,
)
from reconciler.recover.decide import CannotOpen
from reconciler.recover.mend import Tender
from reconciler.recover.recovered import Recovered
from store import ledger, reigns
from store.pool import UNANSWERED
from store.pool import connect as connect_database

log = structlog.get_logger()

WATCH_INTERVAL_S = 0.25
RETRY_INTERVAL_S = 0.5


async def run(
    *,
    redis_urls: Sequence[str],
    database_url: str,
    shards: Sequence[int],
    watch: bool,
    journal_backlog_records_max: int,
    journal_backlog_bytes_max: int = BACKLOG_BYTES_MAX,
    journal_backlog_age_ms_max: int = BACKLOG_AGE_MS_MAX,
    hold_life_max_ms: int,
    durability: Durability = "fsync",
    redis_timeout_ms: int,
    database_timeout_ms: int,
    is_rebuild_forced: bool = False,
    more_records: MoreRecords | None = None,
    tell: Callable[[Recovered], None] = lambda _: None,
) -> int:
    """
    Open the shards; with *watch*, keep them open until SIGTERM.

    Args:
        is_rebuild_forced, more_records, hold_life_max_ms: See `Coordinator`.

        tell: Takes what was done, once per shard that was opened.

    Returns:
        Exit code: 0 all open, 2 at least one could not be opened.
    """
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT) if watch else ():
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    clients = [connect_redis(url, timeout_ms=redis_timeout_ms) for url in redis_urls]

    own_database = partial(connect_database, database_url, timeout_ms=database_timeout_ms)
    make = partial(
        Coordinator,
        backlog_records_max=journal_backlog_records_max,
        backlog_bytes_max=journal_backlog_bytes_max,
        backlog_age_ms_max=journal_backlog_age_ms_max,
        durability=durability,
        hold_life_max_ms=hold_life_max_ms,
        database_url=database_url,
        database_timeout_ms=database_timeout_ms,
        more_records=more_records,
    )

    async def work(shard: int, database: asyncpg.Connection) -> None:
        client = clients[shard % len(clients)]
        coordinator = make(shard, client, database)
        tender = Tender(own_database, lambda own: make_mender(shard, client, own, hold_life_max_ms))
        if is_rebuild_forced:
            await coordinator.recover(is_rebuild_forced=True)
        await _keep_open(coordinator, tender, stopping, watch=watch)
        if coordinator.recovered is not None:
            tell(coordinator.recovered)

    async def tend(shard: int) -> bool:
        while not stopping.is_set():
            if await _try(work, shard, database_url, database_timeout_ms):
                return True
            if not watch:
                return False
            await _pause(stopping, RETRY_INTERVAL_S)
        return True

    opened = await asyncio.gather(*(tend(shard) for shard in shards))
    for client in clients:
        await client.aclose()
    return 0 if all(opened) else 2


async def thaw(*, database_url: str, database_timeout_ms: int, shard: int) -> bool:
    """Let coordinators try a frozen shard again; a human has looked. False if it is not frozen."""
    database = await connect_database(database_url, timeout_ms=database_timeout_ms)
    try:
        return await reigns.thaw(database, shard)
    finally:
        await database.close(timeout=database_timeout_ms / 1000)


async def _try(
    work: Callable[[int, asyncpg.Connection], Awaitable[None]],
    shard: int,
    database_url: str,
    timeout_ms: int,
) -> bool:
    """Do *work* over a connection of its own; False if the shard is shut, which is logged."""
    try:
        database = await connect_database(database_url, timeout_ms=timeout_ms)
        try:
            await work(shard, database)
        finally:
            await database.close(timeout=timeout_ms / 1000)
    except (CannotOpen, ledger.LedgerError, RedisError, *UNANSWERED) as error:
        log.error(
            "shard is shut",
            action="recover_failed",
            shard=shard,
            error=f"{type(error).__name__}: {error}",
        )
        return False
    return True


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

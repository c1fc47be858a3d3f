"""
`evently sweeper`: one process that ends overdue holds on all shards.

It also tends the list that visitors search.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal

import structlog

from engine.engine import Engine
from engine.redis_client import connect
from engine.sweeper import Sweeper
from engine.tasks import end
from engine.watcher import WATCH_INTERVAL_S
from evently.settings import Settings
from store import search
from store.pool import UNANSWERED, Pool, create_pool
from usecases.wiring import reign_reader, seen_reporter, shards_reader

log = structlog.get_logger()

#: How often a step is done: a hundredth of a core, and 50 events a second.
TEND_INTERVAL_S = 10.0


async def sweep(settings: Settings) -> None:
    """Sweep until SIGTERM or SIGINT."""
    pool = await create_pool(
        settings.database_url_as("sweeper"),
        connections_max=2,
        timeout_ms=settings.database_timeout_ms,
    )
    engine = Engine(
        {
            name: connect(url, timeout_ms=settings.redis_timeout_ms)
            for name, url in settings.redis_servers_as("sweeper").items()
        },
        reign_reader(pool),
        report_seen=seen_reporter(pool),
        read_shards=shards_reader(pool),
        durability=settings.durability,
    )
    engine.start()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        async with asyncio.TaskGroup() as tasks:
            tending = tasks.create_task(_tend_list(pool))
            await _sweep_all(engine, stopping)
            await end(tending)
    finally:
        await engine.stop(timeout_s=settings.drain_timeout_s)
        await pool.close()


async def _tend_list(pool: Pool) -> None:
    """
    Keep the list that visitors search, for ever; while PostgreSQL is away, later.

    Takes out what is over, and looks at some events after the others whether they stand there as
    they are: whatever a hand or a restore has done is mended in a round.
    """
    after_id: str | None = ""
    while True:
        try:
            await search.forget_over(pool)
            after_id, mended = await search.mend(pool, after_id or "")
            if mended:
                log.warning("list mended", action="mend_list", events=mended, up_to=after_id)
        except UNANSWERED as error:
            log.info("list not tended", action="tend_list", error=type(error).__name__)
        await asyncio.sleep(TEND_INTERVAL_S)


async def _sweep_all(engine: Engine, stopping: asyncio.Event) -> None:
    """Run a sweeper for each shard that there is, also for those that are added meanwhile."""
    sweepers: dict[int, Sweeper] = {}
    async with asyncio.TaskGroup() as tasks:
        while not stopping.is_set():
            for number, shard in engine.shards.items():
                if number not in sweepers:
                    sweepers[number] = Sweeper(shard)
                    tasks.create_task(sweepers[number].run())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), WATCH_INTERVAL_S)
        for sweeper in sweepers.values():
            sweeper.stop()

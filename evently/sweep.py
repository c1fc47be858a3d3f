"""`evently sweeper`: one process that ends overdue holds on all shards."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from engine.engine import Engine
from engine.redis_client import connect
from engine.sweeper import Sweeper
from engine.watcher import WATCH_INTERVAL_S
from evently.settings import Settings
from store.pool import create_pool
from usecases.wiring import reign_reader, seen_reporter, shards_reader


async def sweep(settings: Settings) -> None:
    """Sweep until SIGTERM or SIGINT."""
    pool = await create_pool(
        settings.database_url_as("sweeper"),
        connections_max=1,
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
        await _sweep_all(engine, stopping)
    finally:
        await engine.stop(timeout_s=settings.drain_timeout_s)
        await pool.close()


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

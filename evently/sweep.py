"""`evently sweeper`: one process that ends overdue holds on all shards."""

from __future__ import annotations

import asyncio
import signal

from engine.engine import Engine
from engine.redis_client import connect
from engine.sweeper import Sweeper
from evently.settings import Settings
from store.pool import create_pool
from usecases.wiring import reign_reader, seen_reporter


async def sweep(settings: Settings) -> None:
    """Sweep until SIGTERM or SIGINT."""
    pool = await create_pool(
        settings.database_url_as("sweeper"),
        connections_max=1,
        timeout_ms=settings.database_timeout_ms,
    )
    engine = Engine(
        [
            connect(url, timeout_ms=settings.redis_timeout_ms)
            for url in settings.redis_urls_as("sweeper")
        ],
        reign_reader(pool),
        report_seen=seen_reporter(pool),
        shards=settings.shards,
        durability=settings.durability,
    )
    engine.start()
    sweepers = [Sweeper(shard) for shard in engine.shards]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, sweepers)
    try:
        await asyncio.gather(*(sweeper.run() for sweeper in sweepers))
    finally:
        await engine.stop(timeout_s=settings.drain_timeout_s)
        await pool.close()


def _stop(sweepers: list[Sweeper]) -> None:
    for sweeper in sweepers:
        sweeper.stop()

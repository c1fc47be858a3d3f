"""The service: a follower and some workers, until it is told to stop."""

from __future__ import annotations

import asyncio
import signal

import structlog

from engine.spans import SpanTeller
from engine.tasks import end
from notifier import mail
from notifier.composer import Composer
from notifier.follower import Teller
from notifier.worker import Workers
from store.pool import create_pool

log = structlog.get_logger()

#: Connections of all workers together: each asks for moments only.
CONNECTIONS_MAX = 4


async def serve(
    database_url: str,
    options: mail.Options,
    *,
    public_url: str,
    timeout_ms: int,
    drain_timeout_s: float,
    spans: SpanTeller | None = None,
) -> None:
    """Follow and send until SIGTERM or SIGINT."""
    pool = await create_pool(database_url, connections_max=CONNECTIONS_MAX, timeout_ms=timeout_ms)
    follower = Teller(database_url, timeout_ms=timeout_ms)
    composer = Composer(pool, options.post, public_url=public_url)
    channels = [mail.channel(pool, composer, options)]
    teams = [Workers(pool, channel, spans) for channel in channels]
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    told = {channel.name: channel.workers for channel in channels}
    log.info("notifier works", action="notifier_begin", workers=told)
    tasks = [asyncio.create_task(follower.run())]
    tasks += [asyncio.create_task(team.run(follower.news)) for team in teams]
    stop = asyncio.create_task(stopping.wait())
    try:
        # What nobody foresaw ends the process, which is started again.
        done, _ = await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await end(stop, *tasks)
        await asyncio.gather(*(team.drain(timeout_s=drain_timeout_s) for team in teams))
        await pool.close()

"""The service: a follower and some workers, until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack

import structlog

from engine.tasks import end
from notifier import mail, push
from notifier.channel import Channel
from notifier.composer import Composer
from notifier.follower import Teller
from notifier.poster import Poster
from notifier.worker import Workers
from store.pool import Pool, create_pool
from store.push import put_keys

log = structlog.get_logger()

#: Connections of all workers together: each asks for moments only.
CONNECTIONS_MAX = 4


async def serve(
    database_url: str,
    options: mail.Options,
    pushing: push.Pushing,
    *,
    public_url: str,
    timeout_ms: int,
    drain_timeout_s: float,
) -> None:
    """Follow and send until SIGTERM or SIGINT."""
    pool = await create_pool(database_url, connections_max=CONNECTIONS_MAX, timeout_ms=timeout_ms)
    fans = [push.fan] if pushing.keys else []
    follower = Teller(database_url, timeout_ms=timeout_ms, fans=fans)
    composer = Composer(pool, options.post, public_url=public_url)
    channels = [mail.channel(pool, composer, options)]
    stack = AsyncExitStack()
    await put_keys(pool, [key.public for key in pushing.keys])
    if pushing.keys:
        channels.append(await _pushes(stack, pool, composer, pushing))
    teams = [Workers(pool, channel) for channel in channels]
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
        await stack.aclose()
        await pool.close()


async def _pushes(
    stack: AsyncExitStack, pool: Pool, composer: Composer, pushing: push.Pushing
) -> Channel:
    poster = await stack.enter_async_context(
        Poster(pushing.outside, timeout_s=push.TIMEOUT_S, at_once_max=pushing.workers)
    )
    return push.channel(pool, composer, poster, pushing)

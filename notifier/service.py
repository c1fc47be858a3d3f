"""The service: a follower and some workers, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from engine.spans import SpanTeller
from engine.tasks import end
from notifier import account, mail, push, webhooks
from notifier.channel import Fan
from notifier.composer import Composer
from notifier.enclosures import Encloser
from notifier.follower import Teller
from notifier.poster import Poster
from notifier.worker import Workers
from papers.press import Press
from store.pool import create_pool
from store.push import put_keys

log = structlog.get_logger()

#: What is done until the process ends.
Duty = Coroutine[Any, Any, None]
#: Connections of all workers together: each asks for moments only.
CONNECTIONS_MAX = 4


async def serve(
    database_url: str,
    options: mail.Options,
    *,
    hooks: webhooks.Options | None,
    pushing: push.Pushing,
    public_url: str,
    signing_key: str,
    timeout_ms: int,
    drain_timeout_s: float,
    spans: SpanTeller | None = None,
) -> None:
    """
    Follow and send until SIGTERM or SIGINT.

    Args:
        hooks: How webhooks are told; None: there are none.

        pushing: How messages are pushed; without keys nothing is.

        signing_key: For the codes of tickets; empty: letters enclose none.
    """
    async with contextlib.AsyncExitStack() as stack:
        pool = await create_pool(
            database_url, connections_max=CONNECTIONS_MAX, timeout_ms=timeout_ms
        )
        stack.push_async_callback(pool.close)
        # Each worker asks for one paper at a time; none is asked for again.
        press = Press(waiting_max=options.workers, memory_bytes_max=0)
        stack.push_async_callback(press.close)
        encloser = Encloser(pool, press, signing_key) if signing_key else None
        composer = Composer(pool, options.post, public_url=public_url, encloser=encloser)
        channels, works = [mail.channel(pool, composer, options)], list[Duty]()
        fans: list[Fan] = [account.fan]
        if hooks is not None:
            poster = Poster(hooks.outside, timeout_s=webhooks.TIMEOUT_S, at_once_max=hooks.workers)
            await stack.enter_async_context(poster)
            channels.append(webhooks.channel(pool, poster, hooks))
            fans.append(webhooks.fan)
            works.append(webhooks.Warden(pool).run())
        await put_keys(pool, [key.public for key in pushing.keys])
        if pushing.keys:
            poster = Poster(pushing.outside, timeout_s=push.TIMEOUT_S, at_once_max=pushing.workers)
            await stack.enter_async_context(poster)
            channels.append(push.channel(pool, composer, poster, pushing))
            fans.append(push.fan)
        follower = Teller(database_url, timeout_ms=timeout_ms, fans=fans)
        teams = [Workers(pool, channel, spans) for channel in channels]
        works += [follower.run(), *(team.run(follower.news) for team in teams)]
        told = {channel.name: channel.workers for channel in channels}
        log.info("notifier works", action="notifier_begin", workers=told)
        try:
            await _until_told(works)
        finally:
            await asyncio.gather(*(team.drain(timeout_s=drain_timeout_s) for team in teams))


async def _until_told(works: Sequence[Duty]) -> None:
    """Do some works until the process is told to stop; what nobody foresaw ends all of them."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    tasks = [asyncio.create_task(work) for work in works]
    stop = asyncio.create_task(stopping.wait())
    try:
        done, _ = await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await end(stop, *tasks)

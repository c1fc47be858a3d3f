"""
The watcher: learns once a second, and whenever it is told, which shards there are and whose reign
is over (I20).

A door looks at PostgreSQL by itself while it is shut. While it is open, Redis says that a reign is
over, by refusing; but a server that nobody fenced refuses nothing, such as one that a shard has
moved away from while it could not be reached. What it took would be an oversale. So every process
asks for all reigns in one query, and shuts the doors that PostgreSQL does not know open.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import structlog

from engine.homes import Published
from engine.lasting import Lasting
from engine.tasks import end

log = structlog.get_logger()

#: Pause between two looks at PostgreSQL, in seconds.
WATCH_INTERVAL_S = 1.0
#: Longest time that one look may take, in seconds.
WATCH_TIMEOUT_S = 5.0

ReadShards = Callable[[], Awaitable[Sequence[Published]]]
#: Takes what was found, and when it was asked for by the loop's clock.
Heed = Callable[[Sequence[Published], float], None]


class Watcher:
    """Looks at all shards until stopped."""

    def __init__(self, read_shards: ReadShards, heed: Heed) -> None:
        """
        Args:
            read_shards: Returns all shards that there are; may fail while PostgreSQL is away, and
                doors then stay as they are: sales go on (F24).

            heed: See `Heed`.
        """
        self._read_shards = read_shards
        self._heed = heed
        self._has_news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._trouble = Lasting()

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        """Look now: something has changed."""
        self._has_news.set()

    async def close(self) -> None:
        """Stop looking."""
        await end(self._task)

    async def look(self) -> None:
        """
        Look once.

        Raises:
            Whatever `read_shards` does.
        """
        asked_at = asyncio.get_running_loop().time()
        async with asyncio.timeout(WATCH_TIMEOUT_S):
            found = await self._read_shards()
        self._heed(found, asked_at)

    async def _run(self) -> None:
        while True:
            self._has_news.clear()
            try:
                await self.look()
                if self._trouble.end():
                    log.info("the shards are read again", action="watch_shards_again")
            except Exception as error:  # noqa: BLE001  PostgreSQL may be away for any reason.
                if self._trouble.is_news("away"):  # Refused, then starting up: one outage.
                    log.warning(
                        "cannot read the shards, sales go on",
                        action="watch_shards",
                        error=repr(error),
                    )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._has_news.wait(), WATCH_INTERVAL_S)

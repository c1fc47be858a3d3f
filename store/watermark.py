"""
The watermark: up to which journal record PostgreSQL has everything.

Reading one's own write, and an answer at level `database`, mean waiting until the watermark has
passed a record. All waiters of a process share one poll of the checkpoint, which wakes only those
whose record it has found; nobody waiting means no poll.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable

import asyncpg

from store import reigns
from store.pool import UNANSWERED

POLL_INTERVAL_S = 0.01
#: Pause more after a poll that failed.
RETRY_INTERVAL_S = 0.1
#: Longest time one poll may take, in seconds: a PostgreSQL that hangs must not hang those to come.
POLL_TIMEOUT_S = 2.0

_Place = tuple[int, int]


class Watermark:
    """Waits, on behalf of many, for the ledger to reach a record."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._read: Callable[[int, int], Awaitable[tuple[int, bool]]] = _reader(pool)
        #: The last checkpoint seen, and the last one seen while the epoch was open.
        self._reached: dict[_Place, int] = {}
        self._reached_open: dict[_Place, int] = {}
        self._polls: dict[_Place, asyncio.Task[None]] = {}
        #: Who waits, by record; the number keeps futures from being compared.
        self._waiting: dict[_Place, list[tuple[int, int, asyncio.Future[bool]]]] = {}
        self._numbers = itertools.count()

    async def reach(self, *, shard: int, epoch: int, seq: int, timeout_ms: int) -> bool:
        """
        Wait until PostgreSQL has record (epoch, seq) of *shard*, or recovery has dealt with it.

        Cost: a share of one query every `POLL_INTERVAL_S`, whoever else waits.

        Returns:
            True if it has, False if it still had not after *timeout_ms*.
        """
        if self._reached.get((shard, epoch), -1) >= seq:
            return True
        return await self._wait((shard, epoch), seq, timeout_ms) is not None

    async def reach_while_open(self, *, shard: int, epoch: int, seq: int, timeout_ms: int) -> bool:
        """
        Wait as `reach` does, for an answer that promises it.

        The checkpoint of an epoch that recovery has ended proves nothing: it also passes records
        that were lost. As long as the epoch is open, only the persister moves it.

        Returns:
            True if PostgreSQL has the record, False if that is not known.
        """
        if self._reached_open.get((shard, epoch), -1) >= seq:
            return True
        return await self._wait((shard, epoch), seq, timeout_ms) is True

    async def _wait(self, place: _Place, seq: int, timeout_ms: int) -> bool | None:
        """Return whether the epoch was open when the checkpoint had passed; None if it did not."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        heapq.heappush(self._waiting.setdefault(place, []), (seq, next(self._numbers), future))
        if place not in self._polls:
            self._polls[place] = loop.create_task(self._poll(place))
        try:
            return await asyncio.wait_for(future, timeout_ms / 1000)
        except TimeoutError:
            return None

    async def _poll(self, place: _Place) -> None:
        """Read the checkpoint until nobody waits for it."""
        waiting = self._waiting[place]
        try:
            while True:
                try:
                    async with asyncio.timeout(POLL_TIMEOUT_S):
                        self._reached[place], is_open = await self._read(*place)
                except UNANSWERED:
                    # PostgreSQL is away: the waiters' own deadlines decide.
                    await asyncio.sleep(RETRY_INTERVAL_S)
                else:
                    self._tell(place, waiting, is_open=is_open)
                if all(future.done() for _, _, future in waiting):
                    return
                await asyncio.sleep(POLL_INTERVAL_S)
        finally:
            del self._polls[place], self._waiting[place]

    def _tell(
        self, place: _Place, waiting: list[tuple[int, int, asyncio.Future[bool]]], *, is_open: bool
    ) -> None:
        """Wake those whose record the checkpoint has passed."""
        reached = self._reached[place]
        if is_open:
            self._reached_open[place] = reached
        while waiting and (waiting[0][0] <= reached or waiting[0][2].done()):
            future = heapq.heappop(waiting)[2]
            if not future.done():
                future.set_result(is_open)


def _reader(pool: asyncpg.Pool) -> Callable[[int, int], Awaitable[tuple[int, bool]]]:
    async def read(shard: int, epoch: int) -> tuple[int, bool]:
        return await reigns.horizon(pool, shard, epoch)

    return read

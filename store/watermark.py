"""
The watermark: up to which journal record PostgreSQL has everything.

Reading one's own write means waiting until the watermark has passed it. All waiters of a process
share one poll of the checkpoint; nobody waiting means no poll.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg

from store.sql import query

POLL_INTERVAL_S = 0.01


class Watermark:
    """Waits, on behalf of many, for the ledger to reach a record."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._read: Callable[[int, int], Awaitable[int]] = _reader(pool)
        self._reached: dict[tuple[int, int], int] = {}
        self._polls: dict[tuple[int, int], asyncio.Task[None]] = {}

    async def reach(self, *, shard: int, epoch: int, seq: int, timeout_ms: int) -> bool:
        """
        Wait until PostgreSQL has record (epoch, seq) of *shard*.

        Returns:
            True if it has, False if it still had not after *timeout_ms*.
        """
        place = (shard, epoch)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_ms / 1000
        while self._reached.get(place, -1) < seq:
            left_s = deadline - loop.time()
            if left_s <= 0:
                return False
            poll = self._polls.get(place)
            if poll is None:
                poll = self._polls[place] = loop.create_task(self._poll(place))
            await asyncio.wait([poll], timeout=left_s)
            if self._reached.get(place, -1) < seq:
                await asyncio.sleep(POLL_INTERVAL_S)
        return True

    async def _poll(self, place: tuple[int, int]) -> None:
        try:
            self._reached[place] = await self._read(*place)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            return  # PostgreSQL is away: the waiters' own deadlines decide.
        finally:
            del self._polls[place]


def _reader(pool: asyncpg.Pool) -> Callable[[int, int], Awaitable[int]]:
    async def read(shard: int, epoch: int) -> int:
        seq: int | None = await pool.fetchval(query("read_checkpoint"), shard, epoch)
        return -1 if seq is None else seq

    return read

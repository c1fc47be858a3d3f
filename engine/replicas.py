"""
The group waiter: waits, on behalf of many, until replicas have what a primary has acknowledged.

Redis's `WAIT` tells of the writes of its own connection alone, and on Valkey only of such as were
really propagated (`tests/engine/test_replicas.py`). So each round makes a small write of its own
(`lua/waitmark.lua`) and waits behind it, in one pipeline on one connection that nothing else uses.
Replication is in order: whatever was answered before the mark was sent stands before it, so the
round vouches for everyone who waited when it was sent, and for nobody who came later. Nobody
waiting means no round.

The mark is made under the epoch that its waiters acted in, by a Redis that has all they have seen
acknowledged. One that has been replaced or reopened since marks nothing, and vouches for nothing
(F10, F12, I17).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine import reads
from engine.door import Reign
from engine.errors import ShardRecovering
from engine.lasting import Lasting
from engine.reads import Words
from engine.tasks import end
from engine.verbs import WRITE_PROBE

log = structlog.get_logger()

#: Longest time one round waits for replicas, in ms; who came meanwhile waits for the next.
ROUND_MS = 250
#: Pause after a round that failed, in seconds.
RETRY_INTERVAL_S = 0.05

#: Shard and epoch that somebody waits for.
Awaited = tuple[int, int]


class Standing(NamedTuple):
    """Where a process stands in a shard."""

    #: What it acts under.
    reign: Reign
    #: The last record that it has seen acknowledged in it.
    seen_seq: int


class GroupWaiter:
    """Waits for the replicas of one primary."""

    def __init__(
        self, client: Redis, read_standing: Callable[[int], Standing], *, replicas_min: int
    ) -> None:
        """
        Args:
            client: A client of the primary that nothing else uses, of one connection; it may
                wait for an answer longer than `ROUND_MS`.

            read_standing: Returns where this process stands; raises `ShardRecovering`.

            replicas_min: Replicas that must have a write.
        """
        assert replicas_min >= 1, "a wait for no replica would vouch for nothing"
        self._client = client
        self._read_standing = read_standing
        self._replicas_min = replicas_min
        self._waiting: dict[Awaited, list[asyncio.Future[bool]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._trouble = Lasting()

    async def reach(self, *, shard: int, epoch: int, timeout_ms: int) -> bool:
        """
        Wait until replicas have all that the primary had answered when this was called.

        Args:
            shard: A shard of this primary.

            epoch: The epoch under which the answer was given.

            timeout_ms: Longest wait, in ms.

        Returns:
            True if so; False if not in time, or if that epoch is over.
        """
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault((shard, epoch), []).append(future)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        try:
            return await asyncio.wait_for(future, timeout_ms / 1000)
        except TimeoutError:
            return False

    async def close(self) -> None:
        """Stop waiting and close the connection."""
        await end(self._task)
        await self._client.aclose()

    async def _run(self) -> None:
        """Make rounds until nobody waits."""
        try:
            while self._forget_gone():
                try:
                    await self._round()
                    if self._trouble.end():
                        log.info("replicas are asked again", action="replicas_asked")
                except (RedisError, OSError) as error:
                    if self._trouble.is_news(repr(error)):
                        log.warning(
                            "replicas are not asked", action="replicas_failed", error=repr(error)
                        )
                    await asyncio.sleep(RETRY_INTERVAL_S)
        finally:
            self._task = None

    def _forget_gone(self) -> bool:
        """Drop those who wait no longer; tell whether anybody does."""
        for place, futures in list(self._waiting.items()):
            futures[:] = [future for future in futures if not future.done()]
            if not futures:
                del self._waiting[place]
        return bool(self._waiting)

    async def _round(self) -> None:
        """Mark each shard that is waited for, wait once, and tell whom the marks vouch for."""
        asked: dict[Awaited, Standing] = {}
        for place in list(self._waiting):
            standing = self._standing(*place)
            if standing is None:
                self._tell(self._waiting.pop(place), reached=False)
            else:
                asked[place] = standing
        if not asked:
            return
        # Exactly those whose answers arrived before the marks are sent; later ones wait on.
        covered = {place: self._waiting.pop(place) for place in asked}
        try:
            replies = await self._ask(asked)
        except BaseException:
            self._put_back(covered)
            raise
        replicas = replies[-1]
        has_enough = isinstance(replicas, int) and replicas >= self._replicas_min
        for (place, futures), reply in zip(covered.items(), replies[:-1], strict=True):
            if isinstance(reply, Exception):
                # Without a mark the wait says nothing, whatever number it gave.
                self._tell(futures, reached=False)
            elif has_enough:
                self._tell(futures, reached=True)
            else:
                self._put_back({place: futures})

    async def _ask(self, asked: dict[Awaited, Standing]) -> list[Any]:
        """
        Send all marks and one `WAIT` behind them; return the replies, errors as values.

        A master that a replica has replaced may live on: it is not asked any longer.
        """
        commands: list[Words] = []
        for (shard, epoch), (reign, seen_seq) in asked.items():
            names = WRITE_PROBE.keys.names(shard, epoch)
            sha = reign.script_shas[WRITE_PROBE.name]
            commands.append(("EVALSHA", sha, len(names), *names, f"{epoch}:{seen_seq}"))
        commands.append(("WAIT", self._replicas_min, ROUND_MS))
        reigns = [standing.reign for standing in asked.values()]
        return await reads.exchange(self._client, commands, reigns)

    def _standing(self, shard: int, epoch: int) -> Standing | None:
        """Return where this process stands, if still in *epoch*."""
        try:
            standing = self._read_standing(shard)
        except ShardRecovering:
            return None
        return standing if standing.reign.epoch == epoch else None

    def _put_back(self, covered: dict[Awaited, list[asyncio.Future[bool]]]) -> None:
        for place, futures in covered.items():
            self._waiting.setdefault(place, []).extend(futures)

    @staticmethod
    def _tell(futures: list[asyncio.Future[bool]], *, reached: bool) -> None:
        for future in futures:
            if not future.done():
                future.set_result(reached)

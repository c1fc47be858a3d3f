"""
Acknowledgements: what an answer promises, and the wait until it is true.

Each deployment has a level that every answer keeps (`EVENTLY_DURABILITY`); a caller may ask for
more, never for less. A level that the deployment cannot give is rounded up to the next that it
can. What is not reached in time is `outcome_unknown`, never a failure: the booking stands, and the
same request again looks again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from engine.durability import LEVELS, Durability, stronger
from engine.engine import Engine
from engine.outcomes import Booked, Held
from engine.replicas import GroupWaiter
from store.watermark import Watermark
from usecases import metrics

#: Levels that the script's reply is proof of, since Redis is configured so.
IMMEDIATE: frozenset[Durability] = frozenset({"memory", "fsync"})


class Promise(NamedTuple):
    """What the answer to one request will promise."""

    level: Durability
    #: Whether the caller asked for a level that this one gives.
    is_preferred: bool = False
    #: Epoch under which the command is sent, or one before it; 0 where nobody asks.
    epoch: int = 0
    #: Name of the server that the shard lived on in that epoch.
    server: str = ""


class Acks:
    """Makes promises and keeps them."""

    def __init__(
        self,
        *,
        floor: Durability,
        replicas_min: int,
        timeout_ms: int,
        engine: Engine,
        watermark: Watermark,
        waiters: Mapping[str, GroupWaiter],
    ) -> None:
        """
        Args:
            floor: The level that every answer keeps.

            replicas_min: Replicas that vouch for `replicated`; 0 if there are none.

            timeout_ms: Longest wait for a level, in ms.

            waiters: One per Redis server, by name; none without replicas.
        """
        assert floor != "replicated" or replicas_min, "replicas that do not exist cannot vouch"
        self._floor = floor
        self._timeout_ms = timeout_ms
        self._engine = engine
        self._watermark = watermark
        self._waiters = waiters
        self._offered = [level for level in LEVELS if _is_offered(level, floor, replicas_min)]
        self._usual = Promise(floor)

    async def close(self) -> None:
        """Stop waiting for replicas."""
        for waiter in self._waiters.values():
            await waiter.close()

    def promise(self, wanted: Durability | None, shard: int) -> Promise:
        """
        Say what will be promised; to be called before the command is sent.

        Args:
            wanted: The level that the caller asks for, if any.

        Raises:
            ShardRecovering: the level is one to wait for, and the shard's door is shut.
        """
        level, is_preferred = self._floor, False
        if wanted is not None:
            level = self._at_least(stronger(wanted, self._floor))
            is_preferred = LEVELS.index(wanted) >= LEVELS.index(self._floor)
        if level not in IMMEDIATE:
            reign = self._engine.reign(shard)
            return Promise(level, is_preferred, reign.epoch, reign.home)
        return Promise(level, is_preferred) if is_preferred else self._usual

    async def keep(self, promise: Promise, shard: int, outcome: Booked | Held) -> bool:
        """Wait until what was promised of *outcome* is true; False if it was not in time."""
        level = promise.level
        if level in IMMEDIATE:
            return True
        if level == "replicated":
            # Not under a later epoch: the replicas then are those of another Redis.
            reached = promise.server in self._waiters and await self._waiters[promise.server].reach(
                shard=shard, epoch=promise.epoch, timeout_ms=self._timeout_ms
            )
        else:
            # A repetition that finds it from an older epoch: no epoch opens before PostgreSQL has
            # all that Redis has of those before.
            reached = outcome.epoch < promise.epoch or await self._watermark.reach_while_open(
                shard=shard, epoch=outcome.epoch, seq=outcome.seq, timeout_ms=self._timeout_ms
            )
        metrics.count(metrics.acks_of(level, "reached" if reached else "unreached"))
        return reached

    def _at_least(self, level: Durability) -> Durability:
        return next(one for one in self._offered if LEVELS.index(one) >= LEVELS.index(level))


def _is_offered(level: Durability, floor: Durability, replicas_min: int) -> bool:
    """Tell whether a deployment can give a level: one without fsync cannot vouch for a disk."""
    if LEVELS.index(level) < LEVELS.index(floor):
        return False
    if level == "replicated":
        return replicas_min > 0 and floor != "memory"
    return level in {floor, "database"}

"""
The sweeper: ends overdue holds by Redis time, and forgets those that ended long ago.

A sale never waits for it, since a script that finds too little ends overdue holds itself; the
sweeper is what brings places back where nobody asks, and what keeps memory bounded. Any number
may run: each end is a compare-and-set in the script. Where Redis's clock has run ahead of its own,
it waits, so that a clock that is set forward does not end all holds at a stroke (F34).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import structlog
from prometheus_client import Counter, Gauge
from redis.exceptions import RedisError

from engine import keys
from engine.commands import Expire
from engine.emptier import Emptier
from engine.errors import EngineError
from engine.lasting import Lasting
from engine.outcomes import Refused
from engine.shard import Shard
from engine.verbs import EXPIRE

log = structlog.get_logger()

SWEEP_INTERVAL_S = 0.25
#: Events looked at per turn, and holds ended per call: bounds of one turn.
EVENTS_MAX = 100
HOLDS_MAX = 200
#: How long an ended hold is remembered for repeated requests, in ms.
FORGET_MS = 24 * 3_600_000
#: How far Redis's clock may run ahead of ours between two turns before it is taken for a jump, and
#: how long holds are left alone after one: as long as it was, and no longer than this. In seconds.
JUMP_S_MIN = 5.0
JUMP_PAUSE_S_MAX = 600.0

EXPIRED = Counter("evently_holds_expired_total", "Holds ended by the sweeper", ["shard"])
OVERDUE_MS = Gauge(
    "evently_oldest_overdue_hold_ms",
    "How long the oldest overdue hold has been waiting for its end",
    ["shard"],
    multiprocess_mode="mostrecent",
)


async def measure_overdue(shard: Shard) -> None:
    """
    Set the metric of the oldest overdue hold; also where no sweeper runs, which is what it is for.

    Cost: two round trips.

    Raises:
        RedisError, OSError: Redis did not answer; the metric stays as it was.
    """
    seconds, micros = await shard.client.time()
    rows: Any = await shard.client.zrange(keys.due(shard.number), 0, 0, withscores=True)
    now_ms = seconds * 1000 + micros // 1000
    OVERDUE_MS.labels(str(shard.number)).set(max(0, now_ms - rows[0][1]) if rows else 0)


class Sweeper:
    """Sweeps one shard until stopped."""

    def __init__(
        self,
        shard: Shard,
        *,
        forget_ms: int = FORGET_MS,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shard = shard
        self._monotonic_s = monotonic_s
        #: Redis's clock and ours when they were last looked at, in seconds.
        self._clocks_s: tuple[float, float] | None = None
        self._pause_until_s = 0.0
        self._emptier = Emptier(shard)
        self._forget_ms = forget_ms
        self._stopping = asyncio.Event()
        self._label = str(shard.number)
        self._trouble = Lasting()

    def stop(self) -> None:
        """Ask `run` to return; may be called again."""
        self._stopping.set()

    async def run(self) -> None:
        """Sweep until stopped; while the shard is shut, wait."""
        while not self._stopping.is_set():
            try:
                if self._shard.door.is_open:
                    await self.sweep()
                    await self._emptier.turn()
                    if self._trouble.end():
                        log.info("sweeping again", action="sweep_goes_on", shard=self._label)
            except (EngineError, RedisError, OSError) as error:
                if self._trouble.is_news(repr(error)):
                    log.warning(
                        "sweep failed", action="sweep_failed", shard=self._label, error=repr(error)
                    )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), SWEEP_INTERVAL_S)

    async def sweep(self) -> int:
        """End what is overdue now, within the bounds of one turn; return how many holds."""
        await measure_overdue(self._shard)
        client, due = self._shard.client, keys.due(self._shard.number)
        seconds, micros = await client.time()
        if self._must_wait(seconds + micros / 1_000_000):
            return 0
        now_ms = seconds * 1000 + micros // 1000
        rows: Any = await client.zrangebyscore(
            due, "-inf", now_ms, start=0, num=EVENTS_MAX, withscores=True
        )
        count = 0
        for event_id, _ in rows:
            command = Expire(event_id.decode(), HOLDS_MAX, self._forget_ms)
            outcome = await self._shard.submit(EXPIRE, command)
            # An event that has lost a key has its turn once it is rebuilt.
            count += 0 if isinstance(outcome, Refused) else outcome.expired
        if count:
            EXPIRED.labels(self._label).inc(count)
        return count

    def _must_wait(self, redis_s: float) -> bool:
        """
        Tell whether Redis's clock has been set forward lately, at *redis_s* by itself.

        What it calls overdue then has been held for less than was said. Whoever holds may confirm
        meanwhile, and a sale that needs the places still takes them.
        """
        own_s = self._monotonic_s()
        if self._clocks_s is not None:
            ahead_s = (redis_s - self._clocks_s[0]) - (own_s - self._clocks_s[1])
            if ahead_s > JUMP_S_MIN:
                self._pause_until_s = own_s + min(ahead_s, JUMP_PAUSE_S_MAX)
                log.warning(
                    "clock of Redis jumped",
                    action="clock_jumped",
                    shard=self._label,
                    ahead_s=round(ahead_s, 1),
                )
        self._clocks_s = (redis_s, own_s)
        return own_s < self._pause_until_s

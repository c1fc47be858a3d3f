"""
The sweeper: ends overdue holds by Redis time, and forgets those that ended long ago.

A sale never waits for it, since a script that finds too little ends overdue holds itself; the
sweeper is what brings places back where nobody asks, and what keeps memory bounded. Any number
may run: each end is a compare-and-set in the script.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import structlog
from prometheus_client import Counter, Gauge
from redis.exceptions import RedisError

from engine import keys
from engine.emptier import Emptier
from engine.errors import EngineError
from engine.shard import Shard

log = structlog.get_logger()

SWEEP_INTERVAL_S = 0.25
#: Events looked at per turn, and holds ended per call: bounds of one turn.
EVENTS_MAX = 100
HOLDS_MAX = 200
#: How long an ended hold is remembered for repeated requests, in ms.
FORGET_MS = 24 * 3_600_000

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

    def __init__(self, shard: Shard, *, forget_ms: int = FORGET_MS) -> None:
        self._shard = shard
        self._emptier = Emptier(shard)
        self._forget_ms = forget_ms
        self._stopping = asyncio.Event()
        self._label = str(shard.number)

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
            except (EngineError, RedisError, OSError) as error:
                log.warning("sweep failed", action="sweep_failed", shard=self._label,
                            error=repr(error))  # fmt: skip
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), SWEEP_INTERVAL_S)

    async def sweep(self) -> int:
        """End what is overdue now, within the bounds of one turn; return how many holds."""
        await measure_overdue(self._shard)
        client, due = self._shard.client, keys.due(self._shard.number)
        seconds, micros = await client.time()
        now_ms = seconds * 1000 + micros // 1000
        rows: Any = await client.zrangebyscore(
            due, "-inf", now_ms, start=0, num=EVENTS_MAX, withscores=True
        )
        count = 0
        for event_id, _ in rows:
            _, expired, _ = await self._shard.expire(
                event_id.decode(), holds_max=HOLDS_MAX, forget_ms=self._forget_ms
            )
            count += int(expired)
        if count:
            EXPIRED.labels(self._label).inc(count)
        return count

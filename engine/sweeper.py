"""
The sweeper: ends overdue holds by Redis time, and forgets those that ended long ago.

A sale never waits for it, since a script that finds too little ends overdue holds itself; the
sweeper is what brings places back where nobody asks, and what keeps memory bounded. Any number
may run: each end is a compare-and-set in the script. Where Redis's clock is set forward, it waits,
so that this does not end all holds at a stroke; where it is set back, holds that were made before
end when they would have ended (`engine.jumps`, F34).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

import structlog
from prometheus_client import Counter, Gauge

from engine import keys
from engine.commands import Expire
from engine.emptier import Emptier
from engine.errors import EngineError
from engine.jumps import Jumps
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
#: Pause between two looks at what was made by a clock that has been set back since, in seconds.
AHEAD_INTERVAL_S = 5.0

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

    Cost: one round trip.

    Raises:
        EngineError: Redis did not answer, or not in the reign; the metric stays as it was.
    """
    time_now, first = await shard.ask_surely(
        ("TIME",), ("ZRANGE", keys.due(shard.number), 0, 0, "WITHSCORES")
    )
    overdue_ms = _ms(time_now) - float(first[1]) if first else 0
    OVERDUE_MS.labels(str(shard.number)).set(max(0, overdue_ms))


def _ms(words: Sequence[bytes]) -> int:
    """Read the reply of TIME, as Unix ms."""
    return int(words[0]) * 1000 + int(words[1]) // 1000


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
        self._jumps = Jumps(monotonic_s)
        #: Where the look at what a clock that was ahead has left goes on, and when the next begins.
        self._ahead_from_ms = 0.0
        self._ahead_at_s = 0.0
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
            except EngineError as error:
                if self._trouble.is_news(repr(error)):
                    log.warning(
                        "sweep failed", action="sweep_failed", shard=self._label, error=repr(error)
                    )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), SWEEP_INTERVAL_S)

    async def sweep(self) -> int:
        """End what is overdue now, within the bounds of one turn; return how many holds."""
        await measure_overdue(self._shard)
        [time_now] = await self._shard.ask(("TIME",))
        now_ms = _ms(time_now)
        self._hear(now_ms / 1000)
        if self._jumps.must_wait:
            # Whoever holds may confirm meanwhile, and a sale that needs the places takes them.
            return 0
        events = await self._due("-inf", now_ms)
        count = sum([await self._expire(event_id) for event_id, _ in events])
        count += await self._sweep_ahead(now_ms)
        if count:
            EXPIRED.labels(self._label).inc(count)
        return count

    def _hear(self, redis_s: float) -> None:
        jump_s = self._jumps.hear(redis_s)
        if jump_s:
            self._ahead_from_ms = self._ahead_at_s = 0.0
            log.warning(
                "clock of Redis jumped",
                action="clock_jumped",
                shard=self._label,
                ahead_s=round(jump_s, 1),
            )

    async def _sweep_ahead(self, now_ms: int) -> int:
        """
        End what is overdue by a clock that was ahead, and is set back since, a page at a time.

        Each event is asked, again and again as long as there may be such a hold: what is due later
        may be a hold of now as well.
        """
        behind_ms = self._jumps.behind_ms
        if not behind_ms or self._monotonic_s() < self._ahead_at_s:
            return 0
        first_ms = max(self._ahead_from_ms, now_ms)
        events = await self._due(f"({first_ms:.0f}", now_ms + behind_ms)
        if len(events) == EVENTS_MAX:
            self._ahead_from_ms = events[-1][1]
        else:
            self._ahead_from_ms = 0.0
            self._ahead_at_s = self._monotonic_s() + AHEAD_INTERVAL_S
        return sum([await self._expire(event_id, behind_ms) for event_id, _ in events])

    async def _due(self, first: str, last_ms: int) -> list[tuple[str, float]]:
        """Return the first events that are due between two moments, and when."""
        name = keys.due(self._shard.number)
        bounds = (first, last_ms, "WITHSCORES", "LIMIT", 0, EVENTS_MAX)
        [flat] = await self._shard.ask(("ZRANGEBYSCORE", name, *bounds))
        return [
            (event_id.decode(), float(at_ms))
            for event_id, at_ms in zip(flat[::2], flat[1::2], strict=True)
        ]

    async def _expire(self, event_id: str, ahead_ms: int = 0) -> int:
        command = Expire(event_id, HOLDS_MAX, self._forget_ms, ahead_ms)
        outcome = await self._shard.submit(EXPIRE, command)
        # An event that has lost a key has its turn once it is rebuilt.
        return 0 if isinstance(outcome, Refused) else outcome.expired

"""
The watch: the check without an end, a group of events at a time, at a bounded cost.

Owns whose turn it is, and the metrics. Follows the journal instead of reading it anew
(`reconciler.judge.follow`), rests at least nine times as long as it works, and judges with the very
invariants of `check`, each suspicion twice more (F40). Changes nothing but its own note of what it
found (`store.drift`), by which `evently doctor` tells an operator; `repair` is another command.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncpg
import structlog
from prometheus_client import start_http_server
from redis.asyncio import Redis

from engine import keys
from engine.errors import CorruptRecord
from engine.lasting import Lasting
from engine.records import read_entries
from reconciler.event.hashes import scan_events
from reconciler.event.snapshot import Reader, groups
from reconciler.event.violation import Violation
from reconciler.judge import watch_metrics as metrics
from reconciler.judge.check import AWAY, DRIFT, UNCHECKED, CannotCheck, examine
from reconciler.judge.check import said as say_why
from reconciler.judge.follow import Follower
from reconciler.servers import Servers
from reconciler.tending import tend_all
from store import audit, damage, drift

log = structlog.get_logger()

#: A step that took a second is followed by so many seconds of rest: a tenth of one core at most.
REST_FACTOR = 9.0
#: Events whose oldest deadline one step looks at.
DUE_EVENTS_MAX = 100
#: How often it is noted that a shard is watched, where nothing else has changed, in seconds.
NOTE_INTERVAL_S = 10.0


@dataclass(slots=True)
class Pass:
    """One turn of all events of a shard."""

    begun_s: float
    #: The last record that PostgreSQL had then: epoch and number.
    reached: tuple[int, int]
    left: deque[list[str]]
    has_published: bool


@dataclass(slots=True)
class Known:
    """What a shard's watch knows to be wrong, replaced piece by piece."""

    #: Of the journal and the shard's rows: of the last pass' beginning.
    of_proof: list[Violation] = field(default_factory=list)
    #: Of the shard's door and stream: of the last step.
    of_shard: list[Violation] = field(default_factory=list)
    of_event: dict[str, list[Violation]] = field(default_factory=dict)

    def all(self) -> list[Violation]:
        """Return each violation once."""
        found = [
            *self.of_proof,
            *self.of_shard,
            *(v for its in self.of_event.values() for v in its),
        ]
        return list({violation.identity: violation for violation in found}.values())


class ShardWatch:
    """Watches one shard over two connections of its own."""

    def __init__(self, shard: int, redis: Redis, database: asyncpg.Connection) -> None:
        """
        Args:
            shard: Number of the shard.

            redis: Client of its master.

            database: A connection of one's own.
        """
        self.known = Known()
        #: Whole passes so far.
        self.passes = 0
        self._shard = shard
        self._label = str(shard)
        self._redis = redis
        self._database = database
        self._follower = Follower(shard)
        self._pass: Pass | None = None
        #: What was last noted, and when, by the monotonic clock.
        self._noted: set[str] = set()
        #: The last whole pass, until it is noted.
        self._proved: Pass | None = None
        self._noted_s = -NOTE_INTERVAL_S

    async def step(self) -> None:
        """
        Measure, and let the next group of events have its turn.

        Cost: what was persisted since the last step, and the bookings of one group.

        Raises:
            RedisError, PostgresError, OSError, CannotCheck: nothing was learnt.
        """
        await self.measure()
        begun_s = time.monotonic()
        async with audit.begin(self._database):
            if not await self._follower.advance(self._database):
                return
            if self._pass is None:
                self._pass = await self._begin()
            group = self._pass.left.popleft()
            found = await self._follower.compare(self._database, group)
        reader = Reader(
            self._shard,
            self._redis,
            self._database,
            self._follower.ledger,
            self._pass.has_published,
        )
        found = [*found, *(await examine(reader, group)).violations]
        for event_id in group:
            self.known.of_event[event_id] = [v for v in found if v.event_id == event_id]
        self.known.of_shard = [v for v in found if v.event_id is None]
        metrics.CHECK_SECONDS.labels(self._label).set(time.monotonic() - begun_s)
        if not self._pass.left:
            self._end(self._pass)
        await self._note()

    async def measure(self) -> None:
        """Set the gauges that cost next to nothing."""
        epoch = int(await self._redis.hget(keys.meta(self._shard), "epoch") or 0)
        checkpoint = (await audit.checkpoints(self._database, self._shard)).get(epoch, 0)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.time()
            pipeline.hget(keys.meta(self._shard), "seq")
            pipeline.xrange(keys.journal(self._shard, epoch), f"({checkpoint}-1", count=1)
            pipeline.zrangebyscore(keys.due(self._shard), 0, "+inf", start=0, num=DUE_EVENTS_MAX)
            (seconds, micros), seq, oldest, due = await pipeline.execute()
        now_ms = seconds * 1000 + micros // 1000
        metrics.EPOCH.labels(self._label).set(epoch)
        metrics.WATERMARK.labels(self._label).set(int(seq or 0))
        metrics.CHECKPOINT.labels(self._label).set(checkpoint)
        metrics.LAG_SECONDS.labels(self._label).set(_age_s(oldest, now_ms))
        metrics.OVERDUE_MS.labels(self._label).set(await self._overdue_ms(due, now_ms))
        metrics.DAMAGED.labels(self._label).set(await damage.count(self._database, self._shard))

    async def _begin(self) -> Pass:
        rows = await audit.events(self._database, self._shard)
        published = {row.id for row in rows if row.status != "draft"}
        loaded = await scan_events(self._redis, self._shard)
        ledger = self._follower.ledger
        events = sorted(published | loaded | ledger.events.keys())
        for gone in self.known.of_event.keys() - set(events):
            del self.known.of_event[gone]
        self.known.of_proof = await self._follower.judge_shard(self._database)
        return Pass(
            time.monotonic(),
            max(ledger.checkpoints.items(), default=(0, 0)),
            deque(groups(events, ledger.counts)),
            bool(published),
        )

    def _end(self, whole: Pass) -> None:
        self.passes += 1
        self._pass, self._proved = None, whole
        metrics.PASS_AT.labels(self._label).set(time.time())
        metrics.PASS_SECONDS.labels(self._label).set(time.monotonic() - whole.begun_s)

    async def _note(self) -> None:
        """Write down what is wrong, and how far is proved, for whoever asks PostgreSQL."""
        found = {
            "|".join(map(str, one.identity)): one for one in self.known.all()[: drift.NOTED_MAX]
        }
        is_first = self.passes == 1 and self._proved is not None
        has_news = found.keys() != self._noted or is_first
        if not has_news and time.monotonic() - self._noted_s < NOTE_INTERVAL_S:
            return
        rows = [
            drift.Noted(key, one.invariant, one.code, one.event_id, one.booking_id, one.message)
            for key, one in found.items()
        ]
        # Before the first whole pass nobody knows what is over of what an earlier watch has noted.
        await drift.note(self._database, self._shard, rows, ends_others=self.passes > 0)
        now_s, whole = time.monotonic(), self._proved
        proved = None if whole is None else drift.Proved(*whole.reached, now_s - whole.begun_s)
        await drift.note_watch(self._database, self._shard, proved)
        self._noted, self._noted_s, self._proved = set(found), now_s, None

    async def _overdue_ms(self, due: list[bytes], now_ms: int) -> float:
        oldest = float(now_ms)
        async with self._redis.pipeline(transaction=False) as pipeline:
            for event_id in due:
                names = keys.event(self._shard, event_id.decode())
                pipeline.zrange(names.deadlines, 0, 0, withscores=True)
            for first in await pipeline.execute() if due else ():
                oldest = min([oldest, *(score for _, score in first)])
        return now_ms - oldest


def _age_s(rows: list[Any], now_ms: int) -> float:
    """Return the age of the first record of *rows*; 0 if there is none."""
    if not rows:
        return 0.0
    try:
        # The records of one entry are of one script call, and of one time.
        record = read_entries(*rows[0])[-1].record
    except CorruptRecord:
        return 0.0  # It has no time that could be trusted; the check names it.
    return max(0.0, (now_ms - record.at_ms) / 1000)


async def run(
    servers: Servers,
    *,
    only: int | None,
    interval_s: float,
    port: int,
    once: bool,
    fail: bool,
    say: Callable[[Violation], None],
) -> int:
    """
    Watch until SIGTERM; with *once*, until each shard had one whole pass.

    Args:
        only: The one shard to watch; all that there are, also those that are added, if not given.

        interval_s: Shortest rest between two steps.

        port: Where Prometheus finds the metrics, on all addresses; 0 for nowhere.

        fail: Whether the first drift ends the watch.

        say: Takes each violation once.

    Returns:
        Exit code: 1 drift, if *fail* is set; 2 something could not be checked, if *once*; else 0.
    """
    stopping = _stopping(on_signals=not once)
    if port:
        start_http_server(port, registry=metrics.REGISTRY)
    known: dict[int, Known] = {}
    said: set[tuple[object, ...]] = set()

    def learn(shard: int, what: Known) -> None:
        known[shard] = what
        violations = [v for its in known.values() for v in its.all()]
        counts = Counter(violation.invariant for violation in violations)
        for name in {*metrics.INVARIANTS, *counts}:
            metrics.DRIFT.labels(name).set(counts[name])
        for violation in violations:
            if violation.identity not in said:
                say(violation)
        said.clear()
        said.update(violation.identity for violation in violations)
        if violations and fail:
            stopping.set()

    learn(-1, Known())
    tend = partial(_tend, servers, interval_s=interval_s, stopping=stopping, learn=learn, once=once)
    is_watched = await tend_all(partial(_find, servers, only, Lasting()), tend, stopping, once=once)
    if fail and said:
        return DRIFT
    return UNCHECKED if once and not is_watched else 0


async def _find(servers: Servers, only: int | None, trouble: Lasting) -> list[int] | None:
    """Return the shards that there are, or *only* one."""
    try:
        found = await servers.shards(only)
    except AWAY as error:
        why = say_why(error)
        if trouble.is_news(why):
            log.warning("shards cannot be found", action="watch_failed", error=why)
        return None
    if trouble.end():
        log.info("shards are found again", action="watch_goes_on")
    return found


def _stopping(*, on_signals: bool) -> asyncio.Event:
    """Return what ends the watch, also by a signal if that is wanted."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT) if on_signals else ():
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


async def _tend(
    servers: Servers,
    shard: int,
    *,
    interval_s: float,
    stopping: asyncio.Event,
    learn: Callable[[int, Known], None],
    once: bool,
) -> bool:
    """Watch one shard; a server that is away is looked for again. True if nothing failed."""
    trouble = Lasting()
    while not stopping.is_set():
        begun_s = time.monotonic()
        try:
            async with servers.redis(shard) as redis, servers.database() as database:
                watch = ShardWatch(shard, redis, database)
                while not stopping.is_set():
                    begun_s = time.monotonic()
                    await watch.step()
                    learn(shard, watch.known)
                    if trouble.end():
                        log.info("shard is watched again", action="watch_goes_on", shard=shard)
                    if once and watch.passes:
                        return True
                    await _rest(stopping, begun_s, 0.0 if once else interval_s)
        except (*AWAY, CannotCheck) as error:
            metrics.FAILURES.labels(str(shard)).inc()
            if trouble.is_news(repr(error)):
                log.warning(
                    "shard cannot be watched",
                    action="watch_failed",
                    shard=shard,
                    error=f"{type(error).__name__}: {error}",
                )
            if once:
                return False
            await _rest(stopping, begun_s, interval_s)
    return True


async def _rest(stopping: asyncio.Event, begun_s: float, interval_s: float) -> None:
    """Rest as the interval says, and longer after a long step; not at all where it is 0."""
    rest_s = max(interval_s, REST_FACTOR * (time.monotonic() - begun_s)) if interval_s else 0.0
    try:
        await asyncio.wait_for(stopping.wait(), rest_s)
    except TimeoutError:
        return

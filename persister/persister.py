"""
One shard's persister: read, decode, write, note; again.

Guarantees I4 and I7 by the ledger writer it calls: rows and checkpoint move in one transaction,
under compare-and-set. Killing it at any point, or running two, loses and doubles nothing (F25 to
F27). A record that cannot become rows is parked by the ledger and the shard frozen, and what else
was acknowledged is written on (F9, F28, F29). A gap is never stepped over: Redis is told that
records are lost, which stops sales, and the persister tries again until a recovery has come (F32).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from engine import keys, scripts
from engine.errors import CorruptRecord
from engine.lasting import Lasting
from engine.spans import Span, SpanTeller, ended_now
from persister import metrics
from persister.lag import observe
from persister.reader import Reader
from store import ends, ledger, reigns
from store.pool import AWAY, UNANSWERED, connect

log = structlog.get_logger()

BACK_OFF_S_MIN = 0.1
BACK_OFF_S_MAX = 5.0
#: Pause between two looks at PostgreSQL while there is nothing to write, in seconds.
LOOK_INTERVAL_S = 1.0
#: New objects between two looks for cycles: some batches' worth.
COLLECT_AFTER_OBJECTS = 200_000
#: Advisory lock that keeps a second persister from doing work in vain: this and the shard.
LOCK_SPACE = 0x45565045


def calm_collector() -> None:
    """
    Let Python look for cycles rarely: a batch is many small objects in none, gone a moment later.

    For the whole process, so a service calls it once, at its start (docs/decisions/0009).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS)


class NotOpen(Exception):
    """The shard is not open, or another persister holds it; look again later."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a persister needs to know."""

    shard: int
    #: Records in one transaction at most.
    records_max: int
    #: Shortest time from the begin of one transaction to that of the next, in ms, unless a whole
    #: batch waits. Both stores flush a disk for each: under load many records share that.
    interval_ms: int = 0
    #: Time a record stays in the journal after PostgreSQL has it, in seconds.
    retention_s: int
    #: Time one SQL statement may take, in ms.
    database_timeout_ms: int
    #: Who is told of each batch that is written; None: nobody.
    spans: SpanTeller | None = None


class Persister:
    """Follows one shard's journal through its reigns until stopped."""

    def __init__(self, servers: Mapping[str, Redis], database_url: str, options: Options) -> None:
        """
        Args:
            servers: Clients of the servers by name, without a socket timeout: reads block on
                purpose. The shard's row says on which of them it lives.

            database_url: PostgreSQL.

            options: See `Options`.
        """
        self._servers = servers
        #: Where the shard lived when it was last followed.
        self._redis: Redis | None = None
        self._database_url = database_url
        self._options = options
        self._stopping = asyncio.Event()
        self._label = str(options.shard)
        self._trouble = Lasting()

    def stop(self) -> None:
        """Ask `run` to return after the batch under way; may be called again."""
        self._stopping.set()

    async def run(self) -> None:
        """Persist until stopped. Errors are told, counted and tried again with a back-off."""
        back_off_s = BACK_OFF_S_MIN
        waits_for = ""
        while not self._stopping.is_set():
            try:
                await self._follow_one_reign()
            except (NotOpen, reigns.ReaderTooOld, ledger.EpochOver, ledger.CheckpointMoved) as news:
                if str(news) != waits_for:  # Said once, however long it takes.
                    waits_for = str(news)
                    log.info(
                        "persister waits",
                        action="persist_wait",
                        shard=self._label,
                        reason=waits_for,
                    )
                back_off_s = BACK_OFF_S_MIN
            except (RedisError, *UNANSWERED, ledger.JournalGap, CorruptRecord) as error:
                metrics.FAILURES.labels(self._label, type(error).__name__).inc()
                self._tell(error)
                back_off_s = min(2 * back_off_s, BACK_OFF_S_MAX)
            except Exception as error:
                # Whatever it is, the next attempt begins at PostgreSQL's checkpoint again.
                metrics.FAILURES.labels(self._label, "unforeseen").inc()
                if self._trouble.is_news(repr(error)):
                    log.exception("batch failed", action="persist_failed", shard=self._label)
                back_off_s = min(2 * back_off_s, BACK_OFF_S_MAX)
            with contextlib.suppress(RedisError, OSError, ValueError):
                if self._redis is not None:  # Also while PostgreSQL is away.
                    await observe(self._redis, self._options.shard)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), back_off_s)

    def _tell(self, error: Exception) -> None:
        """Say what keeps records from PostgreSQL: once, however often it is tried."""
        is_away = isinstance(error, AWAY)  # Refused, then starting up: one outage.
        if not self._trouble.is_news("away" if is_away else repr(error)):
            return
        fields = {"action": "persist_failed", "shard": self._label, "error": repr(error)}
        if is_away:
            log.warning("PostgreSQL takes no records, sales go on until too many wait", **fields)
        else:
            log.error("batch failed", **fields)

    async def _follow_one_reign(self) -> None:
        options = self._options
        connection = await connect(self._database_url, timeout_ms=options.database_timeout_ms)
        try:
            locked = await connection.fetchval(
                "SELECT pg_try_advisory_lock($1, $2)", LOCK_SPACE, options.shard
            )
            if not locked:
                raise NotOpen("another persister has the shard")
            row = await reigns.read(connection, options.shard)
            if row is None or row.state not in {"open", "frozen"}:
                raise NotOpen("the shard is not open")
            if row.home not in self._servers:
                raise NotOpen(f"EVENTLY_REDIS_URL names no {row.home}, where the shard lives")
            self._redis = self._servers[row.home]
            reign = _Reign(connection, self._redis, row, options)
            try:
                await reign.begin()
                while not self._stopping.is_set():
                    await reign.step()
                    if self._trouble.end():
                        log.info("persisting again", action="persist_again", shard=self._label)
            finally:
                await reign.end()
                # Whoever the name leads to by then: a master that was replaced may live on.
                await self._redis.connection_pool.disconnect()
        finally:
            await connection.close(timeout=options.database_timeout_ms / 1000)


class _Reign:
    """Follows the journal of one epoch over one pinned connection."""

    def __init__(
        self, connection: asyncpg.Connection, redis: Redis, row: reigns.ReignRow, options: Options
    ) -> None:
        self._connection = connection
        self._redis = redis
        self._epoch = row.epoch
        self._shas = scripts.shas(row.nonce, row.records_version)
        self._is_frozen = row.state == "frozen"
        self._options = options
        self._journal = keys.journal(options.shard, row.epoch)
        self._label = str(options.shard)
        self._place = ledger.Place(0, 0)
        self._reader = Reader(redis, self._journal, records_max=options.records_max)
        #: (when written, up to which seq), oldest first: tells what may be trimmed.
        self._written: deque[tuple[float, int]] = deque()
        #: When the next transaction may begin, by the monotonic clock.
        self._next_at_s = 0.0
        #: When PostgreSQL is asked next whether the reign goes on, by the monotonic clock.
        self._look_at_s = 0.0

    async def begin(self) -> None:
        """Take up where PostgreSQL is, and tell Redis, in case the last note was lost."""
        shard, epoch = self._options.shard, self._epoch
        self._place, end_seq = await ledger.find_place(self._connection, shard=shard, epoch=epoch)
        if end_seq != self._place.last_seq:
            await self._settle()
        self._written.append((time.monotonic(), self._place.last_seq))
        await self._note()
        # Behind the note, which a shard that is shut or frozen refuses several times a second.
        log.info(
            "persister follows",
            action="persist_begin",
            shard=self._label,
            epoch=self._epoch,
            last_seq=self._place.last_seq,
        )

    async def _settle(self) -> None:
        """Believe the journal's own rows where the checkpoint is not at their end (F68)."""
        shard, epoch = self._options.shard, self._epoch
        found: Any = await self._redis.hmget(keys.meta(shard), ["epoch", "trimmed_seq"])
        dropped_seq = int(found[1] or 0) if found[0] == str(epoch).encode() else None
        await ends.settle(self._connection, shard, epoch, dropped_seq=dropped_seq)
        self._place = await ledger.read_place(self._connection, shard=shard, epoch=epoch)

    async def step(self) -> None:
        """
        Take one batch, write it, note it.

        Raises:
            JournalGap: records are gone. Redis was told, so that nothing more is sold and the
                coordinator sets to work (F32); nothing is ever made in their place.
        """
        try:
            await self._step()
        except ledger.JournalGap:
            await self._note(is_lost=True)
            raise

    async def _step(self) -> None:
        if self._reader.records < self._options.records_max:
            await asyncio.sleep(self._next_at_s - time.monotonic())
        entries = await self._reader.next_batch(self._place.last_seq)
        if not entries:
            await self._explain_silence()
            return
        self._next_at_s = time.monotonic() + self._options.interval_ms / 1000
        begun_s = time.monotonic()
        with metrics.BATCH_SECONDS.labels(self._label).time():
            written = await ledger.write_batch(
                self._connection,
                shard=self._options.shard,
                epoch=self._epoch,
                last_seq=self._place.last_seq,
                entries=entries,
            )
        self._place = written.place
        if written.is_frozen and not self._is_frozen:
            log.error(
                "shard frozen",
                action="persist_frozen",
                shard=self._label,
                epoch=self._epoch,
                last_seq=self._place.last_seq,
            )
        self._is_frozen = written.is_frozen
        metrics.RECORDS.labels(self._label).inc(len(entries))
        if self._options.spans is not None:
            self._options.spans(self._span(len(entries), time.monotonic() - begun_s))
        self._written.append((time.monotonic(), self._place.last_seq))
        await self._note()

    def _span(self, records: int, seconds: float) -> Span:
        """Return the span of a batch that was written just now."""
        told: dict[str, str | int] = {
            "evently.shard": self._options.shard,
            "evently.records": records,
            "evently.last_seq": self._place.last_seq,
        }
        return Span("persist batch", *ended_now(seconds), told, is_frequent=True)

    async def end(self) -> None:
        """Stop reading ahead."""
        await self._reader.close()

    async def _explain_silence(self) -> None:
        """
        Tell a quiet journal from a lost one: the shard's own count must not be ahead.

        And from one that is over: a home that the shard has left stays in its last epoch (I20).
        """
        if time.monotonic() >= self._look_at_s:
            self._look_at_s = time.monotonic() + LOOK_INTERVAL_S
            row = await reigns.read(self._connection, self._options.shard)
            if row is None or row.epoch != self._epoch:
                raise NotOpen("PostgreSQL says that the reign is over")
        lag = await observe(self._redis, self._options.shard)
        if lag.epoch != self._epoch:
            raise NotOpen(f"Redis is in epoch {lag.epoch}, not {self._epoch}")
        last_seq = self._place.last_seq
        if lag.seq <= last_seq:
            return
        rows: Any = await self._redis.xrange(self._journal, f"({last_seq}-1", count=1)
        if not rows:
            raise ledger.JournalGap(
                f"shard {self._label} epoch {self._epoch}: records {last_seq + 1}.."
                f"{lag.seq} are gone from the journal"
            )

    async def _note(self, *, is_lost: bool = False) -> None:
        """
        Tell Redis what PostgreSQL has, and whether sales must stop.

        A failure here is harmless: the next note, also of the next persister, covers it.
        """
        horizon = time.monotonic() - self._options.retention_s
        trim_seq = 0
        while self._written and self._written[0][0] <= horizon:
            trim_seq = self._written.popleft()[1]
        verdict = "frozen" if self._is_frozen else "lost" if is_lost else "open"
        try:
            await self._redis.execute_command(  # type: ignore[no-untyped-call]
                "EVALSHA",
                self._shas["persisted"],
                2,
                keys.meta(self._options.shard),
                self._journal,
                # A Redis with fewer records than PostgreSQL has must refuse (F5, F10).
                f"{self._epoch}:{self._place.last_seq}",
                self._place.last_seq,
                trim_seq,
                self._place.bytes,
                verdict,
            )
        except ResponseError as error:
            if isinstance(error, NoScriptError) or str(error).startswith("FENCED"):
                raise NotOpen("Redis is not in this reign any more") from error
            raise
        metrics.FROZEN.labels(self._label).set(self._is_frozen)
        await observe(self._redis, self._options.shard)

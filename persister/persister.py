"""
One shard's persister: read, decode, write, note; again.

Guarantees I4 and I7 by the ledger writer it calls: rows and checkpoint move in one transaction,
under compare-and-set. Killing it at any point, or running two, loses and doubles nothing (F25 to
F27). It leaves alone what it cannot explain: a gap or a record that does not decode stops it with
an error, and sales stop by themselves when the backlog is full.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from engine import keys, scripts
from engine.errors import CorruptRecord
from engine.records import Entry, read_entries
from persister import metrics
from store import ledger, reigns
from store.pool import connect

log = structlog.get_logger()

#: A read asks for one stream entry (of 1..128 records) per this many records of a transaction.
RECORDS_PER_ENTRY = 8
#: How long one read waits for news, in ms; bounds how fast `stop` is heard.
READ_BLOCK_MS = 500
BACK_OFF_S_MIN = 0.1
BACK_OFF_S_MAX = 5.0
#: Advisory lock that keeps a second persister from doing work in vain: this and the shard.
LOCK_SPACE = 0x45565045


class NotOpen(Exception):
    """The shard is not open, or another persister holds it; look again later."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a persister needs to know."""

    shard: int
    #: Records in one transaction at most.
    records_max: int
    #: Time a record stays in the journal after PostgreSQL has it, in seconds.
    retention_s: int
    #: Time one SQL statement may take, in ms.
    database_timeout_ms: int


class Persister:
    """Follows one shard's journal through its reigns until stopped."""

    def __init__(self, redis: Redis, database_url: str, options: Options) -> None:
        """
        Args:
            redis: Client of the shard's master without a socket timeout: reads block on purpose.

            database_url: PostgreSQL.

            options: See `Options`.
        """
        self._redis = redis
        self._database_url = database_url
        self._options = options
        self._stopping = asyncio.Event()
        self._label = str(options.shard)

    def stop(self) -> None:
        """Ask `run` to return after the batch under way; may be called again."""
        self._stopping.set()

    async def run(self) -> None:
        """Persist until stopped. Errors are logged, counted and tried again with a back-off."""
        back_off_s = BACK_OFF_S_MIN
        waits_for = ""
        while not self._stopping.is_set():
            try:
                await self._follow_one_reign()
            except (NotOpen, ledger.EpochOver, ledger.CheckpointMoved) as news:
                if str(news) != waits_for:  # Said once, however long it takes.
                    waits_for = str(news)
                    log.info("persister waits", action="persist_wait", shard=self._label,
                             reason=waits_for)  # fmt: skip
                back_off_s = BACK_OFF_S_MIN
            except (
                RedisError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError,
                ledger.JournalGap, CorruptRecord,
            ) as error:  # fmt: skip
                metrics.FAILURES.labels(self._label, type(error).__name__).inc()
                log.error("batch failed", action="persist_failed", shard=self._label,
                          error=repr(error))  # fmt: skip
                back_off_s = min(2 * back_off_s, BACK_OFF_S_MAX)
            except Exception:
                # Whatever it is, the next attempt begins at PostgreSQL's checkpoint again.
                metrics.FAILURES.labels(self._label, "unforeseen").inc()
                log.exception("batch failed", action="persist_failed", shard=self._label)
                back_off_s = min(2 * back_off_s, BACK_OFF_S_MAX)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), back_off_s)

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
            if row is None or row.state != "open":
                raise NotOpen("the shard is not open")
            reign = _Reign(connection, self._redis, row.epoch, scripts.shas(row.nonce), options)
            await reign.begin()
            while not self._stopping.is_set():
                await reign.step()
        finally:
            await connection.close(timeout=options.database_timeout_ms / 1000)


class _Reign:
    """Follows the journal of one epoch over one pinned connection."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        redis: Redis,
        epoch: int,
        shas: Mapping[str, str],
        options: Options,
    ) -> None:
        self._connection = connection
        self._redis = redis
        self._epoch = epoch
        self._shas = shas
        self._options = options
        self._journal = keys.journal(options.shard, epoch)
        self._label = str(options.shard)
        self._last_seq = 0
        #: Script calls that were read and not written yet, whole: a checkpoint in the middle of
        #: one would hide an overlap of two histories.
        self._ahead: deque[list[Entry]] = deque()
        #: (when written, up to which seq), oldest first: tells what may be trimmed.
        self._written: deque[tuple[float, int]] = deque()

    async def begin(self) -> None:
        """Take up where PostgreSQL is, and tell Redis, in case the last note was lost."""
        self._last_seq = await ledger.read_checkpoint(
            self._connection, shard=self._options.shard, epoch=self._epoch
        )
        log.info("persister follows", action="persist_begin", shard=self._label,
                 epoch=self._epoch, last_seq=self._last_seq)  # fmt: skip
        self._written.append((time.monotonic(), self._last_seq))
        await self._note()

    async def step(self) -> None:
        """Read one batch, write it, note it."""
        entries = await self._read()
        if not entries:
            await self._explain_silence()
            return
        with metrics.BATCH_SECONDS.labels(self._label).time():
            self._last_seq = await ledger.write(
                self._connection,
                shard=self._options.shard,
                epoch=self._epoch,
                last_seq=self._last_seq,
                entries=entries,
            )
        metrics.RECORDS.labels(self._label).inc(len(entries))
        self._written.append((time.monotonic(), self._last_seq))
        await self._note()

    async def _read(self) -> list[Entry]:
        """Return the next whole calls, together at most `records_max` records or one call."""
        if not self._ahead:
            streams: Any = await self._redis.xread(
                {self._journal: f"{self._last_seq}-1"},
                count=max(1, self._options.records_max // RECORDS_PER_ENTRY),
                block=READ_BLOCK_MS,
            )
            rows: Sequence[Any] = streams[0][1] if streams else ()
            self._ahead.extend(read_entries(*row) for row in rows)
        batch: list[Entry] = []
        while self._ahead and (
            not batch or len(batch) + len(self._ahead[0]) <= self._options.records_max
        ):
            batch += self._ahead.popleft()
        return batch

    async def _explain_silence(self) -> None:
        """Tell a quiet journal from a lost one: the shard's own count must not be ahead."""
        epoch, seq = await self._redis.hmget(keys.meta(self._options.shard), ["epoch", "seq"])
        if epoch is None or int(epoch) != self._epoch:
            raise NotOpen(f"Redis is in epoch {epoch!r}, not {self._epoch}")
        if seq is None or int(seq) <= self._last_seq:
            metrics.LAG_RECORDS.labels(self._label).set(0)
            return
        rows: Any = await self._redis.xrange(self._journal, f"({self._last_seq}-1", count=1)
        if not rows:
            raise ledger.JournalGap(
                f"shard {self._label} epoch {self._epoch}: records {self._last_seq + 1}.."
                f"{int(seq)} are gone from the journal"
            )

    async def _note(self) -> None:
        """Tell Redis what PostgreSQL has. A failure here is harmless: the next note covers it."""
        horizon = time.monotonic() - self._options.retention_s
        trim_seq = 0
        while self._written and self._written[0][0] <= horizon:
            trim_seq = self._written.popleft()[1]
        try:
            _, seq = await self._redis.execute_command(  # type: ignore[no-untyped-call]
                "EVALSHA",
                self._shas["persisted"],
                2,
                keys.meta(self._options.shard),
                self._journal,
                # A Redis with fewer records than PostgreSQL has must refuse (F5, F10).
                f"{self._epoch}:{self._last_seq}",
                self._last_seq,
                trim_seq,
            )
        except ResponseError as error:
            if isinstance(error, NoScriptError) or str(error).startswith("FENCED"):
                raise NotOpen("Redis is not in this reign any more") from error
            raise
        metrics.LAG_RECORDS.labels(self._label).set(max(0, int(seq) - self._last_seq))

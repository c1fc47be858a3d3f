"""
The coordinator: opens a shard, and opens it again whenever Redis is not what it was.

A shard is open only while PostgreSQL says so (`shard_epoch`), Redis is in that epoch, is the very
process that was opened, and knows the reign's scripts. If any of it fails, the coordinator claims
the shard under a new epoch, fences Redis, drains the journal into PostgreSQL, and decides: where
both agree, the state is kept and the shard opens; where they do not, it stays shut (`frozen`),
because a shut door is an outage and a wrong one is an oversale (I13, I17).

Each step may crash: the door stays shut, and the sequence can be repeated from its start (F41).
"""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine import keys, scripts
from engine.errors import CorruptRecord
from engine.records import read_call
from engine.redis_client import connect as connect_redis
from store import ledger, quarantine, reigns
from store.pool import connect as connect_database
from store.sql import query

log = structlog.get_logger()

WATCH_INTERVAL_S = 0.25
RETRY_INTERVAL_S = 1.0
#: Stream entries, of up to 128 records each, that are written in one transaction.
DRAIN_ENTRIES_MAX = 50
#: Bytes and age in ms of the records that may wait for PostgreSQL, where nothing else is said.
BACKLOG_BYTES_MAX = 536_870_912
BACKLOG_AGE_MS_MAX = 1_800_000
#: What Redis must be told for an acknowledged booking to survive power loss (docs/RELIABILITY.md).
REQUIRED_CONFIG = {
    "appendonly": "yes",
    "appendfsync": "always",
    "maxmemory-policy": "noeviction",
}


class CannotOpen(Exception):
    """The shard stays shut; the message says why and what to do."""


class Drift(CannotOpen):
    """Redis and PostgreSQL do not agree on what happened: frozen until a human has looked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Meta:
    """A shard's `meta` hash, as far as recovery judges it."""

    epoch: int
    seq: int
    layout: int


class Coordinator:
    """Opens one shard."""

    def __init__(
        self,
        shard: int,
        redis: Redis,
        database: asyncpg.Connection,
        *,
        backlog_records_max: int,
        backlog_bytes_max: int = BACKLOG_BYTES_MAX,
        backlog_age_ms_max: int = BACKLOG_AGE_MS_MAX,
    ) -> None:
        """
        Args:
            shard: Number of the shard.

            redis: Client of its master.

            database: A connection of one's own.

            backlog_records_max: Records that may wait for PostgreSQL before sales pause.

            backlog_bytes_max: Bytes of such records.

            backlog_age_ms_max: Age of the oldest such record, in ms.
        """
        self._shard = shard
        self._redis = redis
        self._database = database
        self._backlog_records_max = backlog_records_max
        self._backlog_bytes_max = backlog_bytes_max
        self._backlog_age_ms_max = backlog_age_ms_max
        self._holder = f"recover-{secrets.token_hex(8)}"

    async def is_well(self) -> bool:
        """Tell whether the shard is open and Redis is still the Redis that was opened."""
        row = await reigns.read(self._database, self._shard)
        if row is None or row.state != "open":
            return False
        shas = list(scripts.shas(row.nonce).values())
        epoch, state = await self._redis.hmget(keys.meta(self._shard), ["epoch", "state"])
        known: Any = await self._redis.script_exists(*shas)
        return (
            (epoch, state) == (str(row.epoch).encode(), b"open")
            and all(known)
            and await self._run_id() == row.redis_run_id
        )

    async def recover(self) -> int | None:
        """
        Bring the shard from whatever state it is in to open.

        Returns:
            The new epoch, or None if another coordinator has the shard.

        Raises:
            CannotOpen: the shard stays shut.
        """
        await self._require_safe_config()
        seen = await reigns.read(self._database, self._shard)
        if seen is not None and seen.state == "frozen":
            await self._stop_sales(seen.epoch)
            raise CannotOpen(f"shard {self._shard} is frozen: {seen.reason}")
        nonce = secrets.token_hex(16)
        epoch = await reigns.claim(
            self._database, self._shard, seen=seen, holder=self._holder, nonce=nonce
        )
        if epoch is None:
            return None
        log.info("shard claimed", action="recover_claim", shard=self._shard, epoch=epoch)
        run_id = await self._run_id()
        meta = await self._fence()
        try:
            await self._agree(meta, epoch)
        except (Drift, ledger.JournalGap, CorruptRecord) as error:
            await reigns.freeze(
                self._database, self._shard, epoch=epoch, holder=self._holder, reason=str(error)
            )
            raise CannotOpen(f"shard {self._shard} is frozen: {error}") from error
        await self._open(epoch, nonce, run_id)
        log.info("shard open", action="recover_open", shard=self._shard, epoch=epoch)
        return epoch

    async def _stop_sales(self, epoch: int) -> None:
        """Shut Redis for a shard that was frozen, should nobody have done so yet (I17)."""
        meta_key = keys.meta(self._shard)
        found = await self._redis.hmget(meta_key, ["epoch", "state"])
        if found == [str(epoch).encode(), b"open"]:
            await self._redis.hset(meta_key, "state", "frozen")

    async def _fence(self) -> Meta | None:
        """
        Shut Redis: everything earlier is in the journal, everything later is refused.

        Scripts of earlier reigns stay loaded: their epoch is over and they refuse to run under
        any other, while flushing would shut the other shards of the same server as well.
        """
        meta_key = keys.meta(self._shard)
        if await self._redis.exists(meta_key):
            await self._redis.hset(meta_key, "state", "recovering")
        fields: Any = await self._redis.hgetall(meta_key)
        if not fields:
            return None
        try:
            return Meta(
                epoch=int(fields[b"epoch"]),
                seq=int(fields[b"seq"]),
                layout=int(fields[b"layout"]),
            )
        except (KeyError, ValueError) as error:
            raise CannotOpen(f"{meta_key} is damaged: {fields!r}") from error

    async def _agree(self, meta: Meta | None, epoch: int) -> None:
        """Drain the journal and make sure that PostgreSQL and Redis end at the same record."""
        checkpoints = {
            row["epoch"]: row["last_seq"]
            for row in await self._database.fetch(query("checkpoints"), self._shard)
        }
        if meta is None:
            if any(checkpoints.values()):
                raise Drift("Redis has lost the shard, PostgreSQL has not: it must be rebuilt")
            return
        if meta.layout != keys.LAYOUT_VERSION:
            raise Drift(f"keys have layout {meta.layout}, this version needs "
                        f"{keys.LAYOUT_VERSION}")  # fmt: skip
        if meta.epoch >= epoch:
            # A new epoch would reuse the name of a journal, and its ids with it (F31, F33).
            raise Drift(
                f"Redis is in epoch {meta.epoch}, PostgreSQL had only reached {epoch - 1}: it has "
                "gone back in time, or is not the PostgreSQL that this Redis belongs to"
            )
        newer = [older for older, seq in checkpoints.items() if older > meta.epoch and seq]
        if newer:
            raise Drift(f"Redis is in epoch {meta.epoch}, PostgreSQL has records of {newer}")
        last_seq = await self._drain(meta.epoch)
        held = await quarantine.held(self._database, self._shard)
        if held:
            raise Drift(f"{held} records are in quarantine: `reconciler quarantine list`")
        if last_seq != meta.seq:
            raise Drift(f"epoch {meta.epoch} ends at record {meta.seq} in Redis and at "
                        f"{last_seq} in PostgreSQL")  # fmt: skip

    async def _drain(self, epoch: int) -> int:
        last_seq = await ledger.read_checkpoint(self._database, shard=self._shard, epoch=epoch)
        journal = keys.journal(self._shard, epoch)
        while True:
            rows: Any = await self._redis.xrange(journal, f"({last_seq}-1", count=DRAIN_ENTRIES_MAX)
            entries = [entry for row in rows for entry in read_call(*row)]
            if not entries:
                return last_seq
            last_seq = await ledger.write(
                self._database,
                shard=self._shard,
                epoch=epoch,
                last_seq=last_seq,
                entries=entries,
                holder=self._holder,
            )
            log.info("journal drained", action="recover_drain", shard=self._shard,
                     epoch=epoch, last_seq=last_seq)  # fmt: skip

    async def _open(self, epoch: int, nonce: str, run_id: str) -> None:
        """
        Start the new epoch in Redis, then publish it.

        Workers learn the nonce from PostgreSQL alone, so a crash between the two leaves the door
        shut. A Redis that restarted meanwhile shows another run id and is fenced again.
        """
        await ledger.read_checkpoint(self._database, shard=self._shard, epoch=epoch)
        for name in scripts.NAMES:
            await self._redis.script_load(scripts.render(name, nonce))
        fresh: dict[Any, Any] = {
            "epoch": epoch, "state": "open", "seq": 0, "persisted_seq": 0, "trimmed_seq": 0,
            "backlog_max": self._backlog_records_max, "layout": keys.LAYOUT_VERSION,
            "bytes": 0, "persisted_bytes": 0, "oldest_at_ms": 0,
            "backlog_bytes_max": self._backlog_bytes_max, "bytes_end": self._backlog_bytes_max,
            "backlog_age_ms_max": self._backlog_age_ms_max,
        }  # fmt: skip
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(keys.meta(self._shard), mapping=fresh)
            # The journal before the last is drained for good; the last one stays for inspection.
            pipeline.unlink(keys.journal(self._shard, epoch - 2))
            await pipeline.execute()
        if await self._run_id() != run_id:
            raise CannotOpen("Redis restarted during recovery")
        published = await reigns.publish_open(
            self._database, self._shard, epoch=epoch, holder=self._holder, redis_run_id=run_id
        )
        if not published:
            raise CannotOpen("another coordinator took the shard")

    async def _require_safe_config(self) -> None:
        config: Any = await self._redis.config_get(*REQUIRED_CONFIG)
        wrong = [
            f"{name} is {config.get(name)!r}, must be {value!r}"
            for name, value in REQUIRED_CONFIG.items()
            if config.get(name) != value
        ]
        if wrong:
            raise CannotOpen("Redis is not configured to keep a booking: " + "; ".join(wrong))

    async def _run_id(self) -> str:
        server: Mapping[str, Any] = await self._redis.info("server")
        return str(server["run_id"])


async def run(
    *,
    redis_urls: Sequence[str],
    database_url: str,
    shards: Sequence[int],
    watch: bool,
    journal_backlog_records_max: int,
    journal_backlog_bytes_max: int,
    journal_backlog_age_ms_max: int,
    redis_timeout_ms: int,
    database_timeout_ms: int,
) -> int:
    """
    Open the shards; with *watch*, keep them open until SIGTERM.

    Returns:
        Exit code: 0 all open, 2 at least one could not be opened.
    """
    stopping = asyncio.Event()
    if watch:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
    clients = [connect_redis(url, timeout_ms=redis_timeout_ms) for url in redis_urls]

    async def tend(shard: int) -> bool:
        redis = clients[shard % len(clients)]
        while not stopping.is_set():
            try:
                database = await connect_database(database_url, timeout_ms=database_timeout_ms)
                try:
                    coordinator = Coordinator(
                        shard, redis, database,
                        backlog_records_max=journal_backlog_records_max,
                        backlog_bytes_max=journal_backlog_bytes_max,
                        backlog_age_ms_max=journal_backlog_age_ms_max,
                    )  # fmt: skip
                    await _keep_open(coordinator, stopping, watch=watch)
                finally:
                    await database.close(timeout=database_timeout_ms / 1000)
                return True
            except (
                CannotOpen, ledger.LedgerError, RedisError, OSError, asyncpg.PostgresError,
                asyncpg.InterfaceError, asyncpg.InternalClientError,
            ) as error:  # fmt: skip
                log.error("shard is shut", action="recover_failed", shard=shard,
                          error=f"{type(error).__name__}: {error}")  # fmt: skip
                if not watch:
                    return False
                await _pause(stopping, RETRY_INTERVAL_S)
        return True

    opened = await asyncio.gather(*(tend(shard) for shard in shards))
    for client in clients:
        await client.aclose()
    return 0 if all(opened) else 2


async def _keep_open(coordinator: Coordinator, stopping: asyncio.Event, *, watch: bool) -> None:
    while not stopping.is_set():
        if not await coordinator.is_well():
            await coordinator.recover()
        if not watch:
            if await coordinator.is_well():
                return
            raise CannotOpen("another coordinator has the shard; try again")
        await _pause(stopping, WATCH_INTERVAL_S)


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return

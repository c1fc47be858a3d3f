"""
The drain: what stands in Redis' journals and not yet in PostgreSQL, once Redis is fenced.

A journal of an epoch that was over when it went on, as on an old master that nobody had told, is
left to redo: its records may contradict the ledger (F11).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog
from redis.asyncio import Redis

from engine import keys
from engine.errors import CorruptRecord
from engine.records import Damaged, read_call
from reconciler.recover.decide import Meta
from store import ledger, redo

log = structlog.get_logger()

#: Stream entries, of up to 128 records each, that are written in one transaction.
ENTRIES_MAX = 50
#: Journals of earlier epochs that stay in Redis.
JOURNALS_KEPT = 2


@dataclass(frozen=True, slots=True)
class Drain:
    """Drains one shard for the recovery *holder*."""

    shard: int
    redis: Redis
    #: A connection of one's own.
    database: asyncpg.Connection
    holder: str

    async def run(self, meta: Meta | None, known: dict[int, int], *, is_forced: bool) -> int | None:
        """
        Bring what Redis' journals have into PostgreSQL.

        Args:
            meta: Tells which epoch Redis was in; without it, each of the last is looked at.

            known: The last record that PostgreSQL has, by epoch.

            is_forced: Leave a journal where it is broken; a human said so.

        Returns:
            The last record of Redis's epoch that PostgreSQL has now, -1 if the journal is broken;
            None where nothing follows from it: without `meta`, or in an epoch that is over.

        Raises:
            JournalGap, CorruptRecord: a journal is broken.
        """
        epochs = sorted(known)[-JOURNALS_KEPT:] if meta is None else [meta.epoch]
        reached: int | None = None
        for epoch in epochs:
            is_over = any(seq for later, seq in known.items() if later > epoch)
            try:
                last_seq = await self._drain(epoch, is_over=is_over)
                reached = None if meta is None or is_over else last_seq
            except (ledger.JournalGap, CorruptRecord) as error:
                if not is_forced:
                    raise
                reached = None if meta is None or is_over else -1
                log.error(
                    "journal is broken",
                    action="recover_drain",
                    shard=self.shard,
                    epoch=epoch,
                    error=str(error),
                )
        return reached

    async def _drain(self, epoch: int, *, is_over: bool) -> int:
        last_seq = await ledger.read_checkpoint(self.database, shard=self.shard, epoch=epoch)
        journal = keys.journal(self.shard, epoch)
        while True:
            rows: Any = await self.redis.xrange(journal, f"({last_seq}-1", count=ENTRIES_MAX)
            entries = [entry for row in rows for entry in read_call(*row)]
            if not entries:
                return last_seq
            if is_over:
                damaged = [entry for entry in entries if isinstance(entry, Damaged)]
                if damaged:
                    raise CorruptRecord(damaged[0].reason)
                left = [redo.Row(epoch, entry.seq, entry.raw.decode()) for entry in entries]
                await redo.write(self.database, shard=self.shard, worker="journal", rows=left)
                last_seq = entries[-1].seq
            else:
                last_seq = await ledger.write(
                    self.database,
                    shard=self.shard,
                    epoch=epoch,
                    last_seq=last_seq,
                    entries=entries,
                    holder=self.holder,
                )
            log.info(
                "journal drained",
                action="recover_drain",
                shard=self.shard,
                epoch=epoch,
                last_seq=last_seq,
            )

"""
Reads one journal for the persister: in whole script calls, a batch ahead of what is written.

A batch ends between two calls, since a checkpoint in the middle of one would hide an overlap of
two histories. Nothing here decides where to read from but the first batch's caller, and a failed
write ends the reader with its reign.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from engine.records import Damaged, Entry, last_seq, read_call
from engine.tasks import end

#: How long one read waits for news, in ms; bounds how fast `stop` is heard.
READ_BLOCK_MS = 500
#: Records that one read is meant to bring: in small pieces, so that the loop goes on to serve
#: PostgreSQL between them.
READ_RECORDS = 500


class Reader:
    """Follows one journal."""

    def __init__(self, redis: Redis, journal: str, *, records_max: int) -> None:
        """
        Args:
            redis: Client without a socket timeout: a read blocks on purpose.

            journal: Key of the stream.

            records_max: Records of a batch at most, or one call if it has more.
        """
        self._redis = redis
        self._journal = journal
        self._records_max = records_max
        #: Calls that were read and not taken yet, and how many records they have.
        self._calls: deque[list[Entry | Damaged]] = deque()
        self._records = 0
        self._read_seq: int | None = None
        #: Calls that one read asks for, after what the last one brought.
        self._calls_per_read = 16
        self._ahead: asyncio.Task[None] | None = None

    @property
    def records(self) -> int:
        """Records that were read and not taken yet."""
        return self._records

    async def next_batch(self, after_seq: int) -> list[Entry | Damaged]:
        """
        Return the next records, none after a while of silence; read on in the background.

        Args:
            after_seq: The checkpoint, the end of the last batch.

        Raises:
            CorruptRecord: an entry's id is not one of ours.
        """
        if self._ahead is not None:
            ahead, self._ahead = self._ahead, None
            await ahead
        if self._read_seq is None:
            self._read_seq = after_seq
        if self._calls or await self._read(READ_BLOCK_MS):
            await self._fill()
        batch: list[Entry | Damaged] = []
        while self._calls and (not batch or len(batch) + len(self._calls[0]) <= self._records_max):
            batch += self._calls.popleft()
        self._records -= len(batch)
        if batch:
            self._ahead = asyncio.get_running_loop().create_task(self._fill())
        return batch

    async def close(self) -> None:
        """Stop reading ahead; may be called again."""
        await end(self._ahead)

    async def _fill(self) -> None:
        """Read what is there already, up to a whole batch."""
        while self._records < self._records_max and await self._read(None):
            pass

    async def _read(self, block_ms: int | None) -> bool:
        """Read one piece; return whether there may be more."""
        count = self._calls_per_read
        streams: Any = await self._redis.xread(
            {self._journal: f"{self._read_seq}-1"}, count=count, block=block_ms
        )
        rows: Sequence[Any] = streams[0][1] if streams else ()
        before = self._records
        for entry_id, fields in rows:
            call = read_call(entry_id, fields)
            self._calls.append(call)
            self._records += len(call)
        if rows:
            self._read_seq = last_seq(rows[-1][0])
            per_call = (self._records - before) / len(rows)
            self._calls_per_read = max(4, int(READ_RECORDS / per_call))
        return len(rows) == count

"""
The redo buffer of one shard: what this worker has acknowledged and PostgreSQL does not have yet.

If Redis loses the end of its log, the workers that answered still know (witnesses, as CURP has
them). Each keeps the changes it told of, of every kind that somebody was answered
(`engine.verbs`), until PostgreSQL's checkpoint has passed them; when their epoch is over it hands
the rest to whoever writes them for recovery to merge (I4, F5, F10, F60). Losing an acknowledged
change then takes the loss of Redis's tail and the death of the worker within the same few
milliseconds.

The hot path pays one text per batch: what is kept must not hold on to the many small objects of the
requests, since memory that comes back late is memory that is out of every cache by then. Checks are
added only when an epoch is over.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from sys import getsizeof
from typing import NamedTuple

import structlog

from engine.batches import Batch, Told
from engine.commands import Order
from engine.lasting import Lasting
from engine.records import VERSIONS, seal
from engine.tasks import end

log = structlog.get_logger()

#: Pause between two looks at PostgreSQL while anything is kept, in seconds.
LOOK_INTERVAL_S = 0.1
#: The same after a failure.
RETRY_INTERVAL_S = 0.5
#: Longest time one look or one write may take, in seconds.
STEP_TIMEOUT_S = 5.0
WRITE_RECORDS_MAX = 1_000


class Redo(NamedTuple):
    """A record that PostgreSQL may lack, at its place."""

    epoch: int
    seq: int
    #: As in the journal: check and JSON.
    record: str


class Horizon(NamedTuple):
    """What PostgreSQL has of an epoch."""

    #: Its last record of that epoch; -1 if there is none.
    seq: int
    #: Whether the shard was open under that epoch at the same moment.
    is_open: bool


ReadHorizon = Callable[[int], Awaitable[Horizon]]
WriteRedo = Callable[[Sequence[Redo]], Awaitable[None]]


class _Kept(NamedTuple):
    """The witnessed records of one batch."""

    epoch: int
    #: Of its youngest record.
    seq: int
    records: int
    #: A line for each: its seq and, behind a space, its JSON.
    text: str


class RedoBuffer:
    """Keeps one shard's batches until PostgreSQL has them, or has them as redo."""

    def __init__(
        self,
        shard: int,
        *,
        read_horizon: ReadHorizon,
        write: WriteRedo,
        records_max: int,
        bytes_max: int,
        on_drop: Callable[[int], None],
    ) -> None:
        """
        Args:
            shard: Number of the shard.

            read_horizon: Tells what PostgreSQL has of an epoch; may fail while it is away.

            write: Takes records of one epoch, in order: writes for recovery to merge what
                PostgreSQL lacks of them. May be called again with the same ones.

            records_max, bytes_max: Most records, and memory, that is kept; beyond it the oldest go.

            on_drop: Told how many records went so, unwitnessed from then on.
        """
        self._shard = shard
        self._read_horizon = read_horizon
        self._write = write
        self._records_max = records_max
        self._bytes_max = bytes_max
        self._on_drop = on_drop
        self._kept: deque[_Kept] = deque()
        self._records = 0
        self._bytes = 0
        #: Epochs up to this one are over: this worker saw the fence, or PostgreSQL says so.
        self._over_epoch = 0
        #: Told an epoch that PostgreSQL does not know open any more.
        self.on_over: Callable[[int], None] = lambda _: None
        self._has_news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._trouble = Lasting()

    @property
    def records(self) -> int:
        """Records that are kept now."""
        return self._records

    @property
    def oldest_epoch(self) -> int | None:
        """The epoch of the oldest record that is kept; None if none is."""
        return self._kept[0].epoch if self._kept else None

    def keep(self, batch: Batch, *, version: int = VERSIONS[-1]) -> None:
        """
        Keep what *batch* told of records of its epoch. Cost: 1 µs a record.

        Args:
            version: Of the records of that epoch.
        """
        told = [one for one in batch.told if _is_witnessed(batch, one)]
        if not told:
            return
        text = "\n".join([f"{one.seq} {body_of(one, version)}" for one in told])
        self._kept.append(_Kept(batch.epoch, _last_seq(told), len(told), text))
        self._records += len(told)
        self._bytes += getsizeof(text)
        while self._records > self._records_max or self._bytes > self._bytes_max:
            self._on_drop(self._drop_oldest())
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._tend())

    def shut(self, epoch: int) -> None:
        """Hear that the shard's door was shut on *epoch*: write what is left of it, at once."""
        self._over_epoch = max(self._over_epoch, epoch)
        self._has_news.set()

    async def close(self) -> None:
        """Let go of everything; PostgreSQL has it, or Redis still has."""
        await end(self._task)

    async def _tend(self) -> None:
        """Look again and again until nothing is kept; the next batch starts it anew."""
        has_failed = False
        try:
            while self._kept:
                pause_s = RETRY_INTERVAL_S if has_failed else LOOK_INTERVAL_S
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._has_news.wait(), pause_s)
                self._has_news.clear()
                try:
                    async with asyncio.timeout(STEP_TIMEOUT_S):
                        await self._step()
                    has_failed = False
                    if self._trouble.end():
                        log.info("redo goes on", action="redo_goes_on", shard=self._shard)
                except Exception as error:  # noqa: BLE001  PostgreSQL may be away for any reason.
                    has_failed = True
                    if self._trouble.is_news(repr(error)):
                        log.warning(
                            "redo waits",
                            action="redo_wait",
                            shard=self._shard,
                            records=self._records,
                            error=repr(error),
                        )
        finally:
            self._task = None

    async def _step(self) -> None:
        """Drop what PostgreSQL has of the oldest epoch; write the rest of it if it is over."""
        epoch = self._kept[0].epoch
        horizon = await self._read_horizon(epoch)
        # Once recovery has begun, the checkpoint also passes what it has given up for lost.
        has_seq = horizon.seq if horizon.is_open else 0
        while self._kept and self._kept[0].epoch == epoch and self._kept[0].seq <= has_seq:
            self._drop_oldest()
        if horizon.is_open and epoch > self._over_epoch:
            return
        if not horizon.is_open:
            self.on_over(epoch)
        while self._kept and self._kept[0].epoch == epoch:
            # Not dropped before it is written: a failure leaves it for the next step.
            parts = self._first(epoch)
            rows = [row for kept in parts for row in _rows(kept) if row.seq > has_seq]
            if rows:
                await self._write(sorted(rows))
            written = set(map(id, parts))
            while self._kept and id(self._kept[0]) in written:
                self._drop_oldest()

    def _first(self, epoch: int) -> list[_Kept]:
        """Return the oldest batches of one epoch, as many as are written together."""
        parts: list[_Kept] = []
        count = 0
        for kept in self._kept:
            count += kept.records
            if kept.epoch != epoch or (parts and count > WRITE_RECORDS_MAX):
                break
            parts.append(kept)
        return parts

    def _drop_oldest(self) -> int:
        kept = self._kept.popleft()
        self._records -= kept.records
        self._bytes -= getsizeof(kept.text)
        return kept.records


def _last_seq(told: Sequence[Told]) -> int:
    """Return the seq of the youngest record told of; what a call makes, it makes in order."""
    return told[-1].seq if told[-1].is_made else max(one.seq for one in told)


def _is_witnessed(batch: Batch, told: Told) -> bool:
    """
    Tell whether a reply tells of a record that PostgreSQL may lack.

    One that repeats a booking of this epoch may be the first that arrived: whoever made it was
    cut off from the answer and knows nothing of it.
    """
    return told.is_made or (isinstance(told.command, Order) and told.epoch == batch.epoch)


def _rows(kept: _Kept) -> Iterator[Redo]:
    """Build the records of a batch as the script wrote them."""
    for line in kept.text.split("\n"):
        seq, _, body = line.partition(" ")
        yield Redo(kept.epoch, int(seq), seal(body.encode()).decode())


def body_of(told: Told, version: int) -> str:
    """Return the JSON of the journal's record of a change, from the command and the reply to it."""
    command = told.command
    if not isinstance(command, Order):
        return told.record
    if told.record:
        return (
            f'{{"kind":"held","version":{version},"at_ms":{told.at_ms},'
            f'"event_id":"{command.event_id}","hold_id":"{command.id}",'
            f'"user_id":"{command.user_id}","fingerprint":"{command.fingerprint}",'
            f'"items":{told.item_rows},"expires_at_ms":{told.record},'
            f'"detail":{command.detail.decode()}}}'
        )
    return (
        f'{{"kind":"booked","version":{version},"at_ms":{told.at_ms},'
        f'"event_id":"{command.event_id}","booking_id":"{command.id}",'
        f'"user_id":"{command.user_id}","fingerprint":"{command.fingerprint}",'
        f'"items":{told.item_rows},"detail":{command.detail.decode()}}}'
    )

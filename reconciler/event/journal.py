"""
The journal's archive in PostgreSQL, read in order: its records, and what is missing or damaged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import asyncpg

from engine.errors import CorruptRecord
from engine.records import Published, SaleChange, decode
from engine.values import Hold
from reconciler.event.state import EventState, Placed
from reconciler.event.violation import Broken, Violation
from store import audit
from store.quarantine import MARKS

#: Broken ranges that are kept; more is one more violation, not more memory.
BROKEN_MAX = 10_000


@dataclass(slots=True)
class Known:
    """What the journal of a shard was found to say up to some checkpoints."""

    checkpoints: dict[int, int]
    #: Events, as far as they were followed.
    states: defaultdict[str, EventState] = field(default_factory=lambda: defaultdict(EventState))
    broken: list[Broken] = field(default_factory=list)
    #: Live holds by event; None where the journal was not followed from its first record, or lacks
    #: any.
    holds: Mapping[str, Mapping[str, Hold]] | None = None


class JournalReader:
    """Reads batches of the journal in order, noting what is missing, doubled or damaged."""

    def __init__(self, shard: int, checkpoints: dict[int, int]) -> None:
        self._shard = shard
        self._checkpoints = checkpoints
        self._last: dict[int, int] = {}
        self.broken: list[Broken] = []
        self.violations: list[Violation] = []
        #: Places (epoch, seq) whose record was parked, and the mark that stands there.
        self.parked: dict[tuple[int, int], str] = {}

    def ended(self) -> JournalReader:
        """Return what `finish` makes of what was read so far; this reader may read on."""
        reader = JournalReader(self._shard, self._checkpoints)
        reader._last = self._last
        reader.broken, reader.violations = [*self.broken], [*self.violations]
        reader.parked = self.parked
        reader.finish()
        return reader

    def begin_after(self, epoch: int, seq: int) -> None:
        """Expect the record after *seq* first: the earlier ones are not read."""
        self._last[epoch] = seq

    def read(self, batch: audit.BatchRow) -> Iterator[Placed]:
        """Yield the batch's readable records."""
        epoch = batch.epoch
        expected = self._last.get(epoch, 0) + 1
        if batch.first_seq > expected:
            self._break(
                epoch,
                expected,
                batch.first_seq - 1,
                "record_missing",
                "no batch of the journal has it",
            )
        if batch.first_seq < expected:
            self._violate(
                "journal_overlap",
                batch.first_seq,
                expected,
                batch.first_seq,
                f"two batches of epoch {epoch} have the same records",
            )
        self._last[epoch] = max(batch.last_seq, expected - 1)
        lines = batch.records.split("\n")
        count = batch.last_seq - batch.first_seq + 1
        if len(lines) != count:
            self._violate(
                "journal_batch_size",
                batch.first_seq,
                count,
                len(lines),
                f"a batch of epoch {epoch} has not the records it counts",
            )
        for seq, line in enumerate(lines, start=batch.first_seq):
            if line in MARKS:
                if len(self.parked) < BROKEN_MAX:
                    self.parked[epoch, seq] = line
                continue
            try:
                record = decode(line.encode())
                at_ms = batch.first_at_ms
                if seq == batch.first_seq and at_ms is not None and at_ms != record.at_ms:
                    self._violate(
                        "journal_moment_differs",
                        seq,
                        record.at_ms,
                        at_ms,
                        f"a batch of epoch {epoch} is not of the time of its first record",
                        epoch,
                    )
                yield Placed(epoch, seq, record)
            except CorruptRecord as error:
                self._break(epoch, seq, seq, "record_corrupt", str(error))

    def finish(self) -> None:
        """Compare where each epoch ended with its checkpoint."""
        for epoch in self._checkpoints.keys() | self._last.keys():
            last, checkpoint = self._last.get(epoch, 0), self._checkpoints.get(epoch, 0)
            if last < checkpoint:
                self._break(
                    epoch,
                    last + 1,
                    checkpoint,
                    "record_missing",
                    "the checkpoint counts it, no batch of the journal has it",
                )
            if last > checkpoint:
                self._violate(
                    "checkpoint_behind",
                    last,
                    last,
                    checkpoint,
                    f"the journal of epoch {epoch} passes its checkpoint",
                    epoch,
                )

    def _break(self, epoch: int, first: int, last: int, code: str, why: str) -> None:
        if len(self.broken) < BROKEN_MAX:
            self.broken.append(Broken(epoch, first, last, code, "journal", why))

    def _violate(
        self, code: str, seq: int, expected: int, found: int, message: str, epoch: int = 0
    ) -> None:
        if len(self.violations) < BROKEN_MAX:
            self.violations.append(
                Violation(
                    invariant="I7",
                    code=code,
                    shard=self._shard,
                    seq=seq,
                    expected=expected,
                    found=found,
                    message=message,
                    subject=str(epoch) if epoch else "",
                )
            )


async def follow_sales(
    database: asyncpg.Connection,
    shard: int,
    states: Mapping[str, EventState],
    *,
    after: tuple[int, int] = (0, 0),
) -> None:
    """Lead the sales of *states* on by what the archive has of them behind (epoch, seq)."""
    reader = JournalReader(shard, {})
    async for batch in audit.sale_changes(database, shard, after=after):
        for epoch, seq, record in reader.read(batch):
            if record.event_id in states and isinstance(record, Published | SaleChange):
                states[record.event_id].follow(epoch, seq, record)

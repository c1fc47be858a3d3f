"""
The proof kept up to date: what `reconciler.judge.proof` reads anew each time, read once and
followed.

A follower keeps the sums of the journal and reads only what was persisted since its last step. Rows
are summed event by event, when their turn comes. It remembers how far PostgreSQL was, so that a
PostgreSQL that went back in time is drift, whatever it says of itself (I14, F31).

Memory: O(events + live holds).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

import asyncpg

from reconciler.event.journal import JournalReader
from reconciler.event.violation import Violation
from reconciler.judge.other_rows import gone_people, name_rows
from reconciler.judge.parked import parked_violations
from reconciler.judge.proof import (
    NAMED_BOOKINGS_MAX,
    Ledger,
    check_epochs,
    compare_blocked,
    compare_event,
)
from store import audit, reigns

#: Records that one step reads about; a follower that has just begun takes several steps.
STEP_RECORDS_MAX = 100_000


class Follower:
    """Follows one shard's journal in PostgreSQL."""

    def __init__(self, shard: int) -> None:
        self._shard = shard
        #: Furthest that each epoch's checkpoint was ever seen.
        self._reached: dict[int, int] = {}
        self._begin()

    def _begin(self) -> None:
        self.ledger = Ledger({}, shard=self._shard)
        self._reader = JournalReader(self._shard, self.ledger.checkpoints)
        self._place = (0, 0)
        self._named: dict[str, tuple[object, list[Violation]]] = {}

    async def advance(self, connection: asyncpg.Connection) -> bool:
        """
        Take what was persisted since the last step; within a transaction of `audit.begin`.

        Returns:
            Whether all of it was taken. Until it is, nothing can be compared.
        """
        checkpoints = await audit.checkpoints(connection, self._shard)
        if any(
            # Back in time; or recovery has merged records into an epoch that was read to its end.
            checkpoints.get(epoch, 0) < seq
            or (epoch < self._place[0] and checkpoints[epoch] != seq)
            for epoch, seq in self.ledger.checkpoints.items()
        ):
            self._begin()
        records = self.ledger.records
        async for batch in audit.journal(connection, self._shard, after=self._place):
            for epoch, seq, record in self._reader.read(batch):
                self.ledger.add(epoch, seq, record)
            self._place = (batch.epoch, batch.first_seq)
            if self.ledger.records - records >= STEP_RECORDS_MAX:
                return False
        self.ledger.checkpoints.clear()
        self.ledger.checkpoints.update(checkpoints)
        for epoch, seq in checkpoints.items():
            self._reached[epoch] = max(seq, self._reached.get(epoch, 0))
        return True

    async def judge_shard(self, connection: asyncpg.Connection) -> list[Violation]:
        """I1, I7, I9 to I14: what the journal and the shard's rows say of the whole shard."""
        ended = self._reader.ended()
        self.ledger.broken = ended.broken
        self.ledger.trust_holds(is_whole=not (ended.broken or ended.parked))
        found = [*self._went_back(), *ended.violations]
        found += await parked_violations(connection, self._shard, ended.parked)
        if not ended.parked:
            found += self.ledger.judge_history()
        reign = await reigns.read(connection, self._shard)
        found += check_epochs(self._shard, self.ledger.checkpoints, reign)
        found += await gone_people(connection, self._shard)
        rows = await audit.shard_blocked_seats(connection, self._shard)
        return found + compare_blocked(self._shard, self.ledger.blocked, rows)

    def _went_back(self) -> list[Violation]:
        return [
            Violation(
                invariant="I14",
                code="checkpoint_went_back",
                shard=self._shard,
                seq=seq,
                expected=seq,
                found=self.ledger.checkpoints.get(epoch, 0),
                subject=str(epoch),
                message=f"PostgreSQL had epoch {epoch} up to record {seq}: it went back in time "
                "(`repair --pg`)",
            )
            for epoch, seq in self._reached.items()
            if self.ledger.checkpoints.get(epoch, 0) < seq
        ]

    async def compare(
        self, connection: asyncpg.Connection, event_ids: Sequence[str]
    ) -> list[Violation]:
        """I4, I5, I8: rows of some events are what their records say; in `advance`'s snapshot."""
        ledger = self.ledger
        ledger.violations = []
        for event_id in event_ids:
            if event_id in ledger.events:
                ledger.events[event_id].forget_rows()
        async for row in audit.bookings(connection, event_ids):
            if row.shard == self._shard:
                ledger.add_row(row, self._shard)
        await ledger.others.take_rows(connection, self._shard, list(event_ids))
        found = ledger.violations
        for event_id in event_ids:
            sums = ledger.events.get(event_id)
            others = ledger.others.sums(event_id)
            if (sums is None or not sums.differ) and others[0] == others[1]:
                self._named.pop(event_id, None)
                continue
            both = (sums and astuple(sums), others)
            if self._named.get(event_id, (None, []))[0] != both:
                # Naming them reads the journal from its start: once for each change of the drift.
                named = await compare_event(connection, self._shard, event_id)
                named += await name_rows(connection, self._shard, event_id)
                self._named[event_id] = (both, named[:NAMED_BOOKINGS_MAX])
            found = found + self._named[event_id][1]
        return found

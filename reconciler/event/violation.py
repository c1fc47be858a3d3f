"""What is wrong, as values: a violation of an invariant; records missing or damaged."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """One thing that is not as an invariant says."""

    #: Number of the invariant in docs/RELIABILITY.md, such as `I1`.
    invariant: str
    #: What is wrong, as a word that stays the same between releases.
    code: str
    shard: int
    message: str
    event_id: str | None = None
    tier_no: int | None = None
    tier_id: str | None = None
    booking_id: str | None = None
    seq: int | None = None
    expected: str | int | None = None
    found: str | int | None = None
    #: What else tells it from others of its kind, such as the person; not reported.
    subject: str = ""

    @property
    def identity(self) -> tuple[object, ...]:
        """What must be found again when the event is examined anew."""
        return (self.code, self.shard, self.event_id, self.tier_no, self.booking_id, self.subject)


@dataclass(frozen=True, slots=True)
class Broken:
    """Records of one epoch that are missing or unreadable where they should stand."""

    epoch: int
    first_seq: int
    last_seq: int
    #: `record_missing` or `record_corrupt`.
    code: str
    #: `stream` in Redis, or `journal` in PostgreSQL.
    place: str
    why: str


class BrokenRecords:
    """All broken ranges, to be looked up by a record's place."""

    def __init__(self, ranges: Sequence[Broken]) -> None:
        self.ranges = tuple(sorted(ranges, key=lambda r: (r.epoch, r.first_seq)))
        self._starts = [(r.epoch, r.first_seq) for r in self.ranges]

    def at(self, epoch: int, seq: int) -> Broken | None:
        """Return the range in which that record lies."""
        number = bisect_right(self._starts, (epoch, seq)) - 1
        if number < 0:
            return None
        found = self.ranges[number]
        return found if found.epoch == epoch and seq <= found.last_seq else None

"""
I10, I11 and I1 over all of history: each record is a legal step from the state before it.

Follows a shard's journal from its first record. A place goes free, held, sold, free and no other
way; a hold ends once, by its owner or by its deadline; at no record are more places taken than the
tier has. What each booking became is proved by its rows (`reconciler.judge.proof`); here it is the
order.

Memory: O(tiers + holds that never ended). Nothing is judged behind a hole in the history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from engine.pools import Pool, parse
from engine.records import (
    Amended,
    Blocked,
    Booked,
    Cancelled,
    CapacitySet,
    Confirmed,
    Expired,
    Extended,
    Held,
    Item,
    ItemCancelled,
    Lost,
    Offered,
    Published,
    Record,
    Released,
    Seats,
    Unblocked,
)
from reconciler.event.violation import Violation

#: Illegal steps that are kept; more is one more violation, not more memory.
ILLEGAL_MAX = 1_000


@dataclass(slots=True)
class _Hold:
    event_id: str
    user_id: str
    items: list[Item]
    expires_at_ms: int
    made_at_ms: int
    #: False for one of an earlier epoch: a rebuilt Redis has dropped it without a record.
    is_counted: bool = True


class Transitions:
    """Follows the records of a shard in order, and notes every step that the diagram lacks."""

    def __init__(self, shard: int) -> None:
        self.illegal: list[Violation] = []
        self._shard = shard
        self._epoch = 0
        self._is_blind = False
        self._capacities: dict[tuple[str, int], int] = {}
        self._taken: Counter[tuple[str, int]] = Counter()
        self._pools: dict[str, list[Pool]] = {}
        self._holds: dict[str, _Hold] = {}

    def follow(self, epoch: int, seq: int, record: Record) -> None:
        """Take the next record of the journal."""
        if epoch != self._epoch:
            self._begin(epoch)
        match record:
            case Published():
                for tier in record.tiers:
                    self._capacities[record.event_id, tier.tier_no] = tier.capacity
                self._set_pools(record.event_id, record.rules.pools)
            case CapacitySet() | Amended():
                for change in record.tiers:
                    self._capacities[record.event_id, change.tier_no] = change.capacity
                    self._judge_places(seq, record, change.tier_no, None)
                if record.pools:
                    self._set_pools(record.event_id, record.pools)
                    for pool in self._pools[record.event_id]:
                        self._judge_places(seq, record, pool.tier_nos[0], None)
            case Booked():
                self._take(seq, record, record.items, record.booking_id)
            case Held() | Offered():
                self._hold(seq, record)
            case Extended():
                self._extend(seq, record)
            case Released() | Expired():
                self._end(seq, record)
            case Confirmed():
                self._confirm(seq, record)
            case Cancelled() | ItemCancelled():
                self._give(record.event_id, record.items)
            case Blocked() | Unblocked():
                self._shift(seq, record, record.seats)
            case Lost():
                # What happened here is not known, so the steps behind it cannot be judged.
                self._is_blind = True
            case _:
                pass

    def _set_pools(self, event_id: str, rule: str) -> None:
        if rule:
            self._pools[event_id] = parse(rule)

    def _begin(self, epoch: int) -> None:
        self._epoch = epoch
        for hold in self._holds.values():
            if hold.is_counted:
                hold.is_counted = False
                self._give(hold.event_id, hold.items)

    def _hold(self, seq: int, record: Held | Offered) -> None:
        if record.hold_id in self._holds:
            self._note(
                "I10",
                "held_twice",
                seq,
                record,
                record.items,
                record.hold_id,
                "is live and was made once more",
            )
            return
        self._holds[record.hold_id] = _Hold(
            record.event_id, record.user_id, record.items, record.expires_at_ms, record.at_ms
        )
        self._take(seq, record, record.items, None)

    def _extend(self, seq: int, record: Extended) -> None:
        hold = self._holds.get(record.hold_id)
        if hold is None:
            self._note(
                "I10",
                "extended_without_hold",
                seq,
                record,
                (),
                record.hold_id,
                "was extended, but was not live",
            )
            return
        if record.expires_at_ms <= hold.expires_at_ms:
            self._note(
                "I10",
                "deadline_went_back",
                seq,
                record,
                hold.items,
                record.hold_id,
                "got an earlier deadline",
            )
        self._judge_owner(seq, record, hold, "extended")
        hold.expires_at_ms = record.expires_at_ms

    def _end(self, seq: int, record: Released | Expired) -> None:
        hold = self._holds.pop(record.hold_id, None)
        how = "released" if isinstance(record, Released) else "expired"
        if hold is None:
            self._note(
                "I10",
                "ended_without_hold",
                seq,
                record,
                record.items,
                record.hold_id,
                f"was {how}, but was not live",
            )
            return
        # One that was made later than it ended was made by a clock that was set back since.
        if isinstance(record, Expired) and hold.made_at_ms <= record.at_ms < hold.expires_at_ms:
            self._note(
                "I10",
                "expired_early",
                seq,
                record,
                record.items,
                record.hold_id,
                "was ended before its deadline",
            )
        self._judge_owner(seq, record, hold, how)
        if hold.is_counted:
            self._give(record.event_id, hold.items)

    def _confirm(self, seq: int, record: Confirmed) -> None:
        hold = self._holds.pop(record.hold_id, None)
        if record.was_expired != (hold is None):
            what = "as expired while it was live" if hold else "but was not live: used twice, or"
            self._note(
                "I11",
                "confirmed_without_hold",
                seq,
                record,
                record.items,
                record.hold_id,
                f"was confirmed {what}{'' if hold else ' never made'}",
                record.booking_id,
            )
        if hold is not None:
            self._judge_owner(seq, record, hold, "confirmed", record.booking_id)
            if hold.is_counted:
                self._give(record.event_id, hold.items)
        self._take(seq, record, record.items, record.booking_id)

    def _shift(self, seq: int, record: Blocked | Unblocked, seats: Iterable[Seats]) -> None:
        for group in seats:
            places = len(group.seat_ids)
            if isinstance(record, Blocked):
                self._taken[record.event_id, group.tier_no] += places
                self._judge_places(seq, record, group.tier_no, None)
            else:
                self._taken[record.event_id, group.tier_no] -= places

    def _take(self, seq: int, record: Record, items: Iterable[Item], owner: str | None) -> None:
        for item in items:
            self._taken[record.event_id, item.tier_no] += item.quantity
            self._judge_places(seq, record, item.tier_no, owner)

    def _give(self, event_id: str, items: Iterable[Item]) -> None:
        for item in items:
            self._taken[event_id, item.tier_no] -= item.quantity

    def _judge_places(self, seq: int, record: Record, tier_no: int, owner: str | None) -> None:
        place = (record.event_id, tier_no)
        if self._taken[place] > self._capacities.get(place, 0):
            self._note_oversold(
                seq, record, tier_no, owner, self._capacities.get(place, 0), self._taken[place]
            )
        for pool in self._pools.get(record.event_id, ()):
            if tier_no in pool.tier_nos:
                taken = sum(self._taken[record.event_id, number] for number in pool.tier_nos)
                if taken > pool.capacity:
                    self._note_oversold(seq, record, tier_no, owner, pool.capacity, taken)

    def _note_oversold(
        self, seq: int, record: Record, tier_no: int, owner: str | None, capacity: int, taken: int
    ) -> None:
        self._add(
            Violation(
                invariant="I1",
                code="oversold_then",
                shard=self._shard,
                tier_no=tier_no,
                event_id=record.event_id,
                booking_id=owner,
                seq=seq,
                expected=capacity,
                found=taken,
                message=f"record {seq} of epoch {self._epoch} took more places than there are",
            )
        )

    def _judge_owner(
        self,
        seq: int,
        record: Extended | Released | Expired | Confirmed,
        hold: _Hold,
        how: str,
        booking_id: str | None = None,
    ) -> None:
        if record.user_id != hold.user_id:
            self._note(
                "I11",
                "hold_of_another",
                seq,
                record,
                hold.items,
                record.hold_id,
                f"was {how} for somebody who does not own it",
                booking_id,
            )

    def _note(
        self,
        invariant: str,
        code: str,
        seq: int,
        record: Record,
        items: Iterable[Item],
        hold_id: str,
        what: str,
        booking_id: str | None = None,
    ) -> None:
        self._add(
            Violation(
                invariant=invariant,
                code=code,
                shard=self._shard,
                event_id=record.event_id,
                tier_no=next((item.tier_no for item in items), None),
                booking_id=booking_id,
                seq=seq,
                subject=hold_id,
                message=f"{hold_id} {what} (record {seq} of epoch {self._epoch})",
            )
        )

    def _add(self, violation: Violation) -> None:
        if not self._is_blind and len(self.illegal) < ILLEGAL_MAX:
            self.illegal.append(violation)

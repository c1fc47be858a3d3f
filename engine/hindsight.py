"""
What an order would have been told at a moment of the past, and why: an event's stock in hindsight.

A fold of records alone: it can be stopped at any moment, and judges as the scripts did then.
Nobody's id is kept but as a key of what they have.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.pools import Pool, parse
from engine.records import (
    Amended,
    Blocked,
    Booked,
    Cancelled,
    CapacitySet,
    Closed,
    Confirmed,
    EventCancelled,
    Expired,
    Extended,
    Held,
    Item,
    ItemCancelled,
    Joined,
    Left,
    Offered,
    Published,
    Record,
    Released,
    Reopened,
    Tier,
    Unblocked,
    amended,
)
from engine.status import Status

#: Overdue holds that a sale ends before it refuses (`lua/lib/refusals.lua`).
RECLAIM_MAX = 50
_UNIX_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Moment(NamedTuple):
    """A record's place and time."""

    epoch: int
    seq: int
    at_ms: int


def at_text(at_ms: int) -> str:
    """Write a moment as people read it, in UTC."""
    return (_UNIX_EPOCH + dt.timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds")


@dataclass(slots=True)
class TierStock:
    """One tier's counters."""

    rules: Tier
    capacity: int
    held: int = 0
    sold: int = 0
    blocked: int = 0
    waiting: int = 0

    @property
    def available(self) -> int:
        """Places that are nobody's."""
        return self.capacity - self.held - self.sold - self.blocked

    def counts(self) -> dict[str, int]:
        """Return the counters by name."""
        return {
            "capacity": self.capacity,
            "available": self.available,
            "held": self.held,
            "sold": self.sold,
            "blocked": self.blocked,
            "waiting": self.waiting,
        }


@dataclass(slots=True)
class LiveHold:
    """A hold that has not ended."""

    user_id: str
    items: list[Item]
    expires_at_ms: int


@dataclass(slots=True)
class EventStock:
    """An event's sale at one moment of its journal."""

    published: Published | None = None
    closes_at_ms: int = 0
    is_cancelled: bool = False
    tiers: dict[int, TierStock] = field(default_factory=dict)
    pools: list[Pool] = field(default_factory=list)
    holds: dict[str, LiveHold] = field(default_factory=dict)
    #: Places by person, and by (person, tier).
    persons: Counter[str] = field(default_factory=Counter)
    of_tier: Counter[tuple[str, int]] = field(default_factory=Counter)
    #: Tier and places of an order whose end is looked for, and since when they could not be had.
    asked: tuple[int, int] | None = None
    short_since: Moment | None = None

    def follow(self, epoch: int, seq: int, record: Record) -> None:
        """Take the next record of the event."""
        match record:
            case Published():
                self.published, self.closes_at_ms = record, record.closes_at_ms
                self.tiers = {tier.tier_no: TierStock(tier, tier.capacity) for tier in record.tiers}
                self.pools = parse(record.rules.pools)
            case CapacitySet():
                for change in record.tiers:
                    self.tiers[change.tier_no].capacity = change.capacity
                self.pools = parse(record.pools) or self.pools
            case Amended():
                self._amend(record)
            case Closed() | Reopened() | EventCancelled():
                self.closes_at_ms = record.closes_at_ms
                self.is_cancelled |= isinstance(record, EventCancelled)
            case Blocked() | Unblocked():
                for group in record.seats:
                    sign = 1 if isinstance(record, Blocked) else -1
                    self.tiers[group.tier_no].blocked += sign * len(group.seat_ids)
            case Joined():
                self._wait(record.tier_no, 1)
            case Left():
                self._wait(record.tier_no, -1)
            case _:
                self._follow_places(record)
        if self.asked is not None:
            self._note_shortage(Moment(epoch, seq, record.at_ms), *self.asked)

    def _amend(self, record: Amended) -> None:
        self.closes_at_ms = record.closes_at_ms or self.closes_at_ms
        if self.published is not None:
            self.published = amended(self.published, record)
        self.pools = parse(record.pools) or self.pools
        for tier in record.tiers:
            stock = self.tiers.setdefault(tier.tier_no, TierStock(tier, tier.capacity))
            stock.rules, stock.capacity = tier, tier.capacity

    def _follow_places(self, record: Record) -> None:
        match record:
            case Booked():
                self._move("sold", record.items, 1, record.user_id)
            case Held() | Offered():
                self.holds[record.hold_id] = LiveHold(
                    record.user_id, record.items, record.expires_at_ms
                )
                self._move("held", record.items, 1, record.user_id)
                if isinstance(record, Offered):
                    self._wait(record.items[0].tier_no, -1)
            case Extended():
                if record.hold_id in self.holds:
                    self.holds[record.hold_id].expires_at_ms = record.expires_at_ms
            case Released() | Expired():
                self._end(record.hold_id)
            case Confirmed():
                self._end(record.hold_id)
                self._move("sold", record.items, 1, record.user_id)
            case Cancelled() | ItemCancelled():
                self._move("sold", record.items, -1, record.user_id)
            case _:
                pass

    def next_deadline_ms(self, tier_no: int, *, after_ms: int) -> int | None:
        """Return when the next hold with places of a tier runs out."""
        return min(
            (
                hold.expires_at_ms
                for hold in self.holds.values()
                if hold.expires_at_ms > after_ms
                and any(item.tier_no == tier_no for item in hold.items)
            ),
            default=None,
        )

    def overdue(self, tier_no: int, at_ms: int) -> int:
        """Return places of a tier whose hold had run out: a sale ends the oldest of them first."""
        late = sorted(
            (hold for hold in self.holds.values() if hold.expires_at_ms <= at_ms),
            key=lambda hold: hold.expires_at_ms,
        )
        return sum(
            item.quantity
            for hold in late[:RECLAIM_MAX]
            for item in hold.items
            if item.tier_no == tier_no
        )

    def judge(
        self, *, at_ms: int, tier_no: int, quantity: int, user_id: str | None = None
    ) -> tuple[Status | None, str]:
        """
        Say what an order would have been told, in the order of `lua/lib/refusals.lua`.

        Returns:
            The refusal, or None if it could be had; and why, in words.
        """
        refusal = self._judge_rules(at_ms, tier_no, quantity)
        if refusal is None and user_id is not None:
            refusal = self._judge_person(tier_no, quantity, user_id)
        if refusal is not None:
            return refusal
        tier, left = self.tiers[tier_no], self._left(tier_no)
        without_holds = self._left(tier_no, lambda number: self.tiers[number].held)
        available = self._left(tier_no, lambda number: self.overdue(number, at_ms))
        if quantity > without_holds:
            return Status.SOLD_OUT, (
                f"{quantity} asked, {left} available and {without_holds - left} held"
            )
        if quantity > available:
            return Status.ALL_HELD, f"{quantity} asked, {available} available, the rest held"
        if tier.waiting:
            return Status.KEPT_FOR_WAITLIST, (
                f"{quantity} asked, {available} available, and {tier.waiting} waited for the tier: "
                "nobody passes the list"
            )
        return None, f"{quantity} asked, {available} available"

    def _left(self, tier_no: int, returning: Callable[[int], int] = lambda _: 0) -> int:
        """Return what is left of a tier, and no more than of its pool, if places return."""
        left = self.tiers[tier_no].available + returning(tier_no)
        for pool in self.pools:
            if tier_no in pool.tier_nos:
                taken = {no: self.tiers[no].held + self.tiers[no].sold for no in pool.tier_nos}
                left = min(left, pool.left(taken) + sum(map(returning, pool.tier_nos)))
        return left

    def _judge_rules(self, at_ms: int, tier_no: int, quantity: int) -> tuple[Status, str] | None:
        if self.published is None:
            return Status.NOT_ON_SALE, "the event was not published yet"
        if self.is_cancelled:
            return Status.EVENT_CANCELLED, "the event was called off"
        event = self.published.rules
        ends_at_ms = 0 if event.after_end else event.ends_at_ms
        opens_at_ms, closes_at_ms = self.published.opens_at_ms, self.closes_at_ms
        refusal = _judge_window(at_ms, opens_at_ms, closes_at_ms, ends_at_ms)
        if refusal is not None:
            return refusal
        if tier_no not in self.tiers:
            return Status.UNKNOWN_TIER, f"the event has no tier {tier_no}"
        rules = self.tiers[tier_no].rules
        ends_at_ms = 0 if f"t{tier_no}t" in event.after_end else event.ends_at_ms
        refusal = _judge_window(at_ms, rules.opens_at_ms, rules.closes_at_ms, ends_at_ms)
        if refusal is not None:
            return refusal
        if not max(1, rules.order_min) <= quantity <= rules.order_max:
            return Status.LIMIT_REACHED, (
                f"one order may have {max(1, rules.order_min)} to {rules.order_max} places"
            )
        return None

    def _judge_person(self, tier_no: int, quantity: int, user_id: str) -> tuple[Status, str] | None:
        assert self.published is not None
        most_of_tier = self.tiers[tier_no].rules.person_max
        for scope, had, most in (
            ("the event", self.persons[user_id], self.published.person_max),
            ("the tier", self.of_tier[user_id, tier_no], most_of_tier),
        ):
            if most and had + quantity > most:
                return Status.LIMIT_REACHED, (
                    f"the person had {had} places of {scope}, and may have {most}"
                )
        return None

    def _end(self, hold_id: str) -> None:
        hold = self.holds.pop(hold_id, None)
        if hold is not None:
            self._move("held", hold.items, -1, hold.user_id)

    def _move(self, counter: str, items: Iterable[Item], sign: int, user_id: str) -> None:
        for item in items:
            tier = self.tiers.get(item.tier_no)
            if tier is not None:
                setattr(tier, counter, getattr(tier, counter) + sign * item.quantity)
            self.persons[user_id] += sign * item.quantity
            self.of_tier[user_id, item.tier_no] += sign * item.quantity

    def _wait(self, tier_no: int, change: int) -> None:
        if tier_no in self.tiers:
            self.tiers[tier_no].waiting += change

    def _note_shortage(self, moment: Moment, tier_no: int, quantity: int) -> None:
        tier = self.tiers.get(tier_no)
        if tier is None or self._left(tier_no, lambda no: self.tiers[no].held) >= quantity:
            self.short_since = None
        elif self.short_since is None:
            self.short_since = moment


def _judge_window(
    at_ms: int, opens_at_ms: int, closes_at_ms: int, ends_at_ms: int
) -> tuple[Status, str] | None:
    """Judge the window of a sale, the event's or a tier's; 0 is no bound."""
    if at_ms < opens_at_ms:
        return Status.SALE_NOT_OPEN, f"the sale opened at {at_text(opens_at_ms)}"
    if 0 < ends_at_ms <= at_ms:
        return Status.EVENT_ENDED, f"the event was over at {at_text(ends_at_ms)}"
    if 0 < closes_at_ms <= at_ms:
        return Status.SALE_CLOSED, f"the sale was over at {at_text(closes_at_ms)}"
    return None

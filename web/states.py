"""What an event's sale is like at a moment: one word for its card, one for each of its tiers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from usecases import told
from usecases.moments import over_at

#: Up to so many places are told exactly; above them there are "many".
FEW_PLACES = 20
#: As many in a hundred of a tier, or fewer, are few.
FEW_PERCENT = 5


class State(StrEnum):
    """How a sale stands; of a tier, or of an event as a whole."""

    DRAFT = "draft"
    SOON = "soon"
    ON_SALE = "on_sale"
    FEW = "few"
    #: What is free is kept for those who wait.
    KEPT = "kept"
    ALL_HELD = "all_held"
    SOLD_OUT = "sold_out"
    #: All are sold, and people wait for what returns.
    WAITLIST = "waitlist"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    PAST = "past"
    #: Nobody can tell now, and nobody can buy.
    PAUSED = "paused"


class TierNow(NamedTuple):
    """A tier and how its sale stands."""

    tier: told.Tier
    state: State
    #: None where that is not known now.
    left: told.TierAvailability | None

    @property
    def exact(self) -> int | None:
        """How many are left, where that are so few that the number says something."""
        if self.left is None or self.state is not State.FEW:
            return None
        return self.left.available

    @property
    def seen(self) -> str:
        """What of it makes the page another, as the script beside the page works it out as well."""
        if self.left is None:
            return ""
        left = self.left
        few = left.available if left.available <= _few(left) else ""
        return f"{left.status} {few} {str(left.waiting > 0).lower()}"

    @property
    def counts(self) -> str:
        """What of it is shown besides, and may be a little old."""
        return "" if self.left is None else f"{self.left.held} {self.left.waiting}"

    @property
    def returns_at(self) -> dt.datetime | None:
        """When the first place may return by itself, of what is all held."""
        return (
            None if self.left is None or self.state is not State.ALL_HELD else self.left.returns_at
        )


class EventNow(NamedTuple):
    """An event and how its sale stands."""

    event: told.Event
    state: State
    tiers: Sequence[TierNow]
    at: dt.datetime

    @property
    def is_over(self) -> bool:
        """Whether nothing of it can be bought any more."""
        return self.state in {State.CLOSED, State.CANCELLED, State.PAST}

    @property
    def cheapest(self) -> told.Tier | None:
        """The tier with the lowest price."""
        return min((one.tier for one in self.tiers), key=_price, default=None)

    @property
    def held(self) -> int:
        """How many places are taken by holds alone."""
        return sum(one.left.held for one in self.tiers if one.left is not None)

    @property
    def taken(self) -> int:
        """How many places are taken, those included that are only held."""
        return self.held + sum(one.left.sold for one in self.tiers if one.left is not None)

    @property
    def returns_at(self) -> dt.datetime | None:
        """When the first place of what is all held may return; None where nobody can tell."""
        return min((one.returns_at for one in self.tiers if one.returns_at), default=None)

    @property
    def has_prices(self) -> bool:
        """Whether its tiers have several prices."""
        return len({one.tier.price for one in self.tiers}) > 1


def _price(tier: told.Tier) -> int:
    return tier.price.amount


def now_of(event: told.Event, availability: told.Availability | None, at: dt.datetime) -> EventNow:
    """
    Return how an event's sale stands at a moment.

    Args:
        availability: What is left; None if nobody can tell.
    """
    left = {one.tier_id: one for one in availability.tiers} if availability is not None else {}
    whole = _of_event(event, at)
    tiers = [_tier_now(event, tier, left, at) for tier in event.tiers]
    state = whole or _of_tiers([one.state for one in tiers])
    return EventNow(event, state, tiers, at)


def _of_event(event: told.Event, at: dt.datetime) -> State | None:
    """Return the state that holds whatever is left; None if that decides."""
    if event.status == "draft":
        return State.DRAFT
    if event.status == "cancelled":
        return State.CANCELLED
    if over_at(event.starts_at, event.ends_at) <= at:
        return State.PAST
    if event.status == "closed" or event.sale_closes_at <= at:
        return State.CLOSED
    return State.SOON if event.sale_opens_at > at else None


def _tier_now(
    event: told.Event,
    tier: told.Tier,
    left_of: Mapping[str, told.TierAvailability],
    at: dt.datetime,
) -> TierNow:
    left = left_of.get(tier.id)
    opens_at = tier.sale_opens_at or event.sale_opens_at
    closes_at = tier.sale_closes_at or event.sale_closes_at
    whole = _of_event(event, at)
    if whole is not None and whole is not State.SOON:
        return TierNow(tier, whole, left)
    if closes_at <= at:
        return TierNow(tier, State.CLOSED, left)
    if opens_at > at:
        return TierNow(tier, State.SOON, left)
    return TierNow(tier, State.PAUSED if left is None else _of_places(left), left)


def _of_places(left: told.TierAvailability) -> State:
    match left.status:
        case "event_cancelled":
            return State.CANCELLED
        case "kept_for_waitlist":
            return State.KEPT
        case "all_held":
            return State.WAITLIST if left.waiting else State.ALL_HELD
        case "sold_out":
            return State.WAITLIST if left.waiting else State.SOLD_OUT
        case "available":
            return State.FEW if left.available <= _few(left) else State.ON_SALE


def _few(left: told.TierAvailability) -> int:
    """Return how many places of a tier are few."""
    return max(1, min(FEW_PLACES, left.capacity * FEW_PERCENT // 100))


#: Of an event's tiers the first of these that one of them has is the event's.
_BEST_FIRST = (
    State.ON_SALE,
    State.FEW,
    State.ALL_HELD,
    State.KEPT,
    State.WAITLIST,
    State.SOON,
    State.SOLD_OUT,
    State.CANCELLED,
    State.CLOSED,
)


def _of_tiers(states: Sequence[State]) -> State:
    """Return the state of an event whose sale is on: the best of its tiers'."""
    return next((one for one in _BEST_FIRST if one in states), State.PAUSED)

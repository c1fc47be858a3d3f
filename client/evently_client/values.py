"""
What the API is asked and tells, as values.

Fields that a newer server adds are passed over; what is not needed to book is left out, and reached
by `Client.call`.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Generic, TypeVar

import msgspec

One = TypeVar("One")


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all values."""


class Money(Value, frozen=True, kw_only=True):
    """An amount in minor units of an ISO 4217 currency."""

    amount: int
    currency: str


class Item(Value, frozen=True, kw_only=True, omit_defaults=True):
    """So many places of a tier, the best together if it has seats and so says; or seats by id."""

    tier_id: str | None = None
    quantity: int | None = None
    best_available: bool = False
    seat_ids: list[str] = []


class Session(Value, frozen=True, kw_only=True):
    """A sign-in."""

    session_id: str
    access_token: str
    #: Seconds from the answer on.
    expires_in: int
    refresh_token: str
    refresh_expires_in: int


class Tier(Value, frozen=True, kw_only=True):
    """Places of one kind and price."""

    id: str
    name: str
    price: Money
    capacity: int


class Event(Value, frozen=True, kw_only=True):
    """An event, with its tiers."""

    id: str
    organizer_id: str
    #: `draft`, `published`, `closed`, `cancelled`; others may come.
    status: str
    name: str
    venue: str = ""
    timezone: str
    starts_at: dt.datetime
    ends_at: dt.datetime | None = None
    sale_opens_at: dt.datetime
    sale_closes_at: dt.datetime
    max_per_user: int
    version: int
    tiers: list[Tier]


class TierAvailability(Value, frozen=True, kw_only=True):
    """What is left of one tier."""

    tier_id: str
    capacity: int
    available: int
    held: int
    sold: int
    waiting: int
    #: `available`, `kept_for_waitlist`, `all_held`, `sold_out`, `event_cancelled`.
    status: str
    #: Where it is `all_held`: when the first of its holds runs out; None where people wait for it,
    #: where it is not known, and of a server that does not tell.
    returns_at: dt.datetime | None = None


class Availability(Value, frozen=True, kw_only=True):
    """What is left of an event, all counters of one moment."""

    event_id: str
    as_of: dt.datetime
    tiers: list[TierAvailability]


class BookingItem(Value, frozen=True, kw_only=True):
    """Places of one tier in a booking or hold."""

    tier_id: str
    quantity: int
    seat_ids: list[str] = []
    unit_price: Money


class Ticket(Value, frozen=True, kw_only=True):
    """One admission."""

    id: str
    tier_id: str
    status: str
    #: What the gate scans; None if somebody else holds it.
    code: str | None


class Booking(Value, frozen=True, kw_only=True):
    """Places that one has."""

    id: str
    event_id: str
    #: `confirmed` or `cancelled`.
    status: str
    items: list[BookingItem]
    total: Money
    created_at: dt.datetime
    cancelled_at: dt.datetime | None = None
    durability: str
    seq: int
    version: int = 1
    receipt: str | None = None
    tickets: list[Ticket] = []


class Hold(Value, frozen=True, kw_only=True):
    """Places that are set aside until a deadline."""

    id: str
    event_id: str
    #: `held`, `confirmed`, `released`, `expired`.
    status: str
    items: list[BookingItem]
    total: Money
    expires_at: dt.datetime
    booking_id: str | None
    seq: int


class Offer(Value, frozen=True, kw_only=True):
    """Places that are kept for one who waited."""

    id: str
    expires_at: dt.datetime


class WaitlistEntry(Value, frozen=True, kw_only=True):
    """One's place on a waitlist."""

    id: str
    event_id: str
    tier_id: str
    quantity: int
    #: `waiting`, `offered`, `accepted`, `declined`, `expired`, `left`, `event_cancelled`.
    status: str
    position: int | None
    offer: Offer | None
    booking_id: str | None


class Page(Value, Generic[One], frozen=True, kw_only=True):
    """A part of a list; `after=next_cursor` gives the next."""

    data: list[One]
    has_more: bool
    next_cursor: str | None


class Refusal(Value, frozen=True, kw_only=True):
    """What the service has decided against: it was not done, and will not be by asking again."""

    status: int
    #: As /problems lists them: `sold_out`, `limit_reached`, `not_found`, ...
    code: str
    title: str = ""
    detail: str = ""
    #: Seconds after which asking again makes sense; None if it does not.
    retry_after_s: float | None = None
    #: All that the answer says, `errors` with their pointers as well.
    more: dict[str, Any] = {}

"""
What clients send and get, as types: validation, encoding and OpenAPI all come from here.

Requests forbid unknown fields, so that a misspelt or smuggled one is an error and never ignored.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from engine.commands import ORDER_LINES_MAX, ORDER_PLACES_MAX
from engine.durability import Durability
from engine.seats import BLOCK_SEATS_MAX, SECTION_SEATS_MAX, SECTIONS_MAX

Moment = Annotated[dt.datetime, Meta(tz=True)]
#: A promo code as buyers write it; their case does not matter.
PROMO_CODE = r"^[A-Za-z0-9_-]{1,32}\Z"
ShortText = Annotated[str, Meta(min_length=1, max_length=200)]
#: Integers stay within 64 bits, as every reader of JSON can take them.
Scalar = str | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | float | bool | None


class _Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Register(_Request, frozen=True, kw_only=True):
    """A new account."""

    email: Annotated[str, Meta(min_length=3, max_length=254)]
    password: Annotated[str, Meta(min_length=8, max_length=1024)]
    name: ShortText


class Login(_Request, frozen=True, kw_only=True):
    """Proof of an account."""

    email: Annotated[str, Meta(min_length=3, max_length=254)]
    password: Annotated[str, Meta(min_length=1, max_length=1024)]


class Token(_Answer, frozen=True, kw_only=True):
    """An access token, to be sent as `Authorization: Bearer ...`."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a scheme
    #: Seconds until it expires.
    expires_in: int


class Me(_Answer, frozen=True, kw_only=True):
    """The caller's account."""

    id: str
    email: str
    name: str
    role: Literal["user", "staff", "organizer", "admin"]
    created_at: dt.datetime


class Money(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An amount in minor units of an ISO 4217 currency."""

    amount: Annotated[int, Meta(ge=0, le=100_000_000_000)]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]


class NewTier(_Request, frozen=True, kw_only=True):
    """A kind of ticket of a new event."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    price: Money
    #: May be left out where the tier has seats: it is their number.
    capacity: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    max_per_order: Annotated[int, Meta(ge=1, le=ORDER_PLACES_MAX)] = ORDER_PLACES_MAX
    #: An order that has places of this tier has at least so many.
    min_per_order: Annotated[int, Meta(ge=1, le=ORDER_PLACES_MAX)] = 1
    #: Over all orders of a person; beside `max_per_user` of the event.
    max_per_user: Annotated[int, Meta(ge=1, le=1000)] | None = None
    #: Sale window of this tier, within that of the event.
    sale_opens_at: Moment | None = None
    sale_closes_at: Moment | None = None
    #: Shown and sold only to who sends a promo code that names the tier; it has no waitlist.
    is_hidden: bool = False


class NewSeat(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """A seat of a new row."""

    label: Annotated[str, Meta(min_length=1, max_length=10)]
    accessible: bool = False
    restricted_view: bool = False
    aisle: bool = False


class NewRow(_Request, frozen=True, kw_only=True):
    """A row of seats: their number, or each of them."""

    name: Annotated[str, Meta(min_length=1, max_length=20)]
    seats: (
        Annotated[int, Meta(ge=1, le=SECTION_SEATS_MAX)]
        | Annotated[list[NewSeat], Meta(min_length=1, max_length=SECTION_SEATS_MAX)]
    )


class NewSection(_Request, frozen=True, kw_only=True):
    """A section of seats of a new event, the rows nearest the stage first."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    #: Name of the tier, or its index from 0.
    tier: str | int
    rows: Annotated[list[NewRow], Meta(min_length=1, max_length=500)]


class NewPromo(_Request, frozen=True, kw_only=True):
    """
    A promo code of a new event: percent_off or amount_off, and the hidden tiers it unlocks.

    An access code takes nothing off: it names at least one hidden tier.
    """

    code: Annotated[str, Meta(pattern=r"^[A-Z0-9_-]{1,32}\Z")]
    percent_off: Annotated[int, Meta(ge=1, le=100)] | None = None
    #: Minor units of the event's currency, off each place.
    amount_off: Annotated[int, Meta(ge=1, le=100_000_000_000)] | None = None
    #: Names of tiers, or their indexes from 0; all that are not hidden if none is named.
    tiers: Annotated[list[str | int], Meta(max_length=100)] = []
    #: Orders that may use it.
    uses_max: Annotated[int, Meta(ge=1, le=10_000_000)]


class NewEvent(_Request, frozen=True, kw_only=True):
    """A new event; it is a draft until published."""

    name: ShortText
    description: Annotated[str, Meta(max_length=10_000)] = ""
    category: Annotated[str, Meta(max_length=100)] = ""
    venue: Annotated[str, Meta(max_length=200)] = ""
    #: IANA name of the venue's zone.
    timezone: Annotated[str, Meta(max_length=64)] = "UTC"
    starts_at: Moment
    ends_at: Moment | None = None
    sale_opens_at: Moment | None = None
    sale_closes_at: Moment | None = None
    max_per_user: Annotated[int, Meta(ge=1, le=1000)] = 10
    #: `strict`: the head waits until its party fits; `skip`: smaller parties may pass it.
    waitlist_policy: Literal["strict", "skip"] = "strict"
    #: How long a head that does not fit may stop a strict waitlist.
    waitlist_patience_s: Annotated[int, Meta(ge=0, le=2_592_000)] = 900
    tiers: Annotated[list[NewTier], Meta(min_length=1, max_length=100)]
    #: Of tiers with reserved seats; in the order in which best available fills them.
    sections: Annotated[list[NewSection], Meta(max_length=SECTIONS_MAX)] = []
    promo_codes: Annotated[list[NewPromo], Meta(max_length=100)] = []


class Tier(_Answer, frozen=True, kw_only=True):
    """A kind of ticket."""

    id: str
    name: str
    price: Money
    capacity: int
    max_per_order: int
    min_per_order: int
    #: Null where the tier has no rule of its own.
    max_per_user: int | None
    sale_opens_at: dt.datetime | None
    sale_closes_at: dt.datetime | None
    #: True only in what its organizer, or who has a code for it, gets.
    is_hidden: bool


class Event(_Answer, frozen=True, kw_only=True):
    """An event."""

    id: str
    organizer_id: str
    status: Literal["draft", "published", "closed", "cancelled"]
    name: str
    description: str
    category: str
    venue: str
    timezone: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    sale_opens_at: dt.datetime
    sale_closes_at: dt.datetime
    max_per_user: int
    version: int
    created_at: dt.datetime
    published_at: dt.datetime | None
    #: Who is served when places return: see `NewEvent`.
    waitlist_policy: Literal["strict", "skip"]
    waitlist_patience_s: int
    tiers: list[Tier]


class EventPage(_Answer, frozen=True, kw_only=True):
    """One page of events, by start."""

    data: list[Event]
    has_more: bool
    next_cursor: str | None


class TierAvailability(_Answer, frozen=True, kw_only=True):
    """What is left of one tier."""

    tier_id: str
    capacity: int
    available: int
    held: int
    sold: int
    #: How many wait for it; free places are theirs.
    waiting: int
    #: `all_held` may change back without anybody cancelling; `sold_out` will not.
    status: Literal["available", "all_held", "sold_out"]


class Availability(_Answer, frozen=True, kw_only=True):
    """What is left of an event, all counters of one moment."""

    event_id: str
    as_of: dt.datetime
    tiers: list[TierAvailability]


class OrderItem(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """
    One line of an order: a tier and how many, or seats.

    Of a tier with seats, a quantity means the best available.
    """

    tier_id: Annotated[str, Meta(max_length=64)] | None = None
    quantity: Annotated[int, Meta(ge=1, le=ORDER_PLACES_MAX)] | None = None
    seat_ids: (
        Annotated[
            list[Annotated[str, Meta(max_length=16)]],
            Meta(min_length=1, max_length=ORDER_PLACES_MAX),
        ]
        | None
    ) = None
    #: Let the server choose seats side by side, as near the middle of the front as there are.
    best_available: bool = False
    #: With best_available: seats apart are better than none.
    split: bool = False
    #: With best_available: at least one of the seats must be accessible.
    accessible: bool = False


class Order(_Request, frozen=True, kw_only=True):
    """What a buyer asks for: at most ten places, each tier on one line."""

    items: Annotated[list[OrderItem], Meta(min_length=1, max_length=ORDER_LINES_MAX)]
    special_requests: Annotated[str, Meta(max_length=500)] = ""
    metadata: Annotated[dict[str, Scalar], Meta(max_length=50)] = {}
    promo_code: Annotated[str, Meta(pattern=PROMO_CODE)] | None = None


class BookingItem(_Answer, frozen=True, kw_only=True):
    """One line of a booking."""

    tier_id: str
    quantity: int
    seat_ids: list[str] = []
    unit_price: Money


class Ticket(_Answer, frozen=True, kw_only=True):
    """A ticket: one place of a booking."""

    id: str
    event_id: str
    booking_id: str
    tier_id: str
    status: Literal["valid", "checked_in", "cancelled"]
    #: What the door scans; null for all but its holder, and if it is cancelled.
    code: str | None
    #: Whether somebody else than who booked it has it.
    is_transferred: bool
    checked_in_at: dt.datetime | None = None
    gate: str | None = None


class Booking(_Answer, frozen=True, kw_only=True):
    """A booking."""

    id: str
    event_id: str
    status: Literal["confirmed", "cancelled"]
    items: list[BookingItem]
    total: Money
    created_at: dt.datetime
    cancelled_at: dt.datetime | None = None
    #: What the booking survives: `memory` a process, `fsync` the power, `replicated` a server,
    #: `database` all of Redis.
    durability: Durability
    #: Place in the shard's journal.
    seq: int
    #: Signed receipt; null while the server makes none.
    receipt: str | None = None
    special_requests: str = ""
    metadata: dict[str, Scalar] = {}
    #: Grows with every change; to be sent when some places are cancelled.
    version: int = 1
    #: Where one booking is read.
    tickets: list[Ticket] = []


class CancelledItem(_Request, frozen=True, kw_only=True):
    """Places to be given back."""

    tier_id: Annotated[str, Meta(max_length=64)]
    quantity: Annotated[int, Meta(ge=1, le=ORDER_PLACES_MAX)]


class CancelBooking(_Request, frozen=True, kw_only=True):
    """Which places of a booking to give back; all without a body."""

    items: Annotated[list[CancelledItem], Meta(min_length=1, max_length=ORDER_LINES_MAX)]
    #: Of the booking, as read before: what makes a repeated request harmless.
    version: Annotated[int, Meta(ge=1, le=1000)] | None = None


class Gate(_Request, frozen=True, kw_only=True):
    """Where a ticket is scanned."""

    gate: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._]([A-Za-z0-9._-]{0,39})\Z")] | None = None


class Scanned(_Answer, frozen=True, kw_only=True):
    """A ticket that was let in, or whose check-in was taken back."""

    id: str
    event_id: str
    booking_id: str
    tier_id: str
    status: Literal["checked_in", "valid"]
    at: dt.datetime
    gate: str | None


class Transfer(_Request, frozen=True, kw_only=True):
    """Who gets a ticket: one of the two."""

    email: Annotated[str, Meta(min_length=3, max_length=254)] | None = None
    user_id: Annotated[str, Meta(max_length=64)] | None = None


class Transferred(_Answer, frozen=True, kw_only=True):
    """A ticket that was given away."""

    id: str
    transferred_at: dt.datetime


class TicketList(_Answer, frozen=True, kw_only=True):
    """Tickets that others gave to the caller."""

    data: list[Ticket]


class TicketKey(_Answer, frozen=True, kw_only=True):
    """A key that verifies ticket codes."""

    #: Bytes 2 to 5 of a code, as hex.
    key_id: str
    algorithm: Literal["Ed25519"] = "Ed25519"
    #: 32 bytes in base64url.
    public_key: str


class ReceiptKey(_Answer, frozen=True, kw_only=True):
    """A key that verifies receipts."""

    #: Bytes 2 to 5 of a receipt's proof, as hex.
    key_id: str
    algorithm: Literal["Ed25519"] = "Ed25519"
    #: 32 bytes in base64url.
    public_key: str


class ReceiptKeys(_Answer, frozen=True, kw_only=True):
    """All keys that verify receipts."""

    data: list[ReceiptKey]


class TicketKeys(_Answer, frozen=True, kw_only=True):
    """All keys that verify ticket codes."""

    data: list[TicketKey]


class TierChange(_Request, frozen=True, kw_only=True):
    """A tier's new capacity."""

    id: Annotated[str, Meta(max_length=64)]
    capacity: Annotated[int, Meta(ge=0, le=10_000_000)]


class EventChange(_Request, frozen=True, kw_only=True):
    """What is to change of an event; what is not named stays."""

    name: ShortText | None = None
    description: Annotated[str, Meta(max_length=10_000)] | None = None
    category: Annotated[str, Meta(max_length=100)] | None = None
    venue: Annotated[str, Meta(max_length=200)] | None = None
    sale_closes_at: Moment | None = None
    tiers: Annotated[list[TierChange], Meta(max_length=100)] = []


class Reopening(_Request, frozen=True, kw_only=True):
    """Until when to sell on."""

    sale_closes_at: Moment


class Cancellation(_Answer, frozen=True, kw_only=True):
    """How far the cancellation of an event is."""

    event_id: str
    status: Literal["cancelling", "cancelled"]
    #: Places still held or booked.
    places_left: int
    as_of: dt.datetime


class BookingPage(_Answer, frozen=True, kw_only=True):
    """One page of bookings, newest first."""

    data: list[Booking]
    has_more: bool
    next_cursor: str | None
    #: False if PostgreSQL is behind and the newest bookings may be missing here.
    up_to_date: bool


class Hold(_Answer, frozen=True, kw_only=True):
    """Places set aside."""

    id: str
    event_id: str
    #: `held` until confirmed, released, or expired.
    status: Literal["held", "confirmed", "released", "expired"]
    items: list[BookingItem]
    total: Money
    created_at: dt.datetime
    #: Confirm before this time.
    expires_at: dt.datetime
    #: The booking it became.
    booking_id: str | None
    #: Place in the shard's journal.
    seq: int
    #: What the answer to the request that made it promises, as of a booking; else null.
    durability: Durability | None = None


class SeatRow(_Answer, frozen=True, kw_only=True):
    """A row of seats; those of null labels are labelled 1, 2, 3, ..."""

    name: str
    #: Number of its first seat within the section.
    first_seat: int
    seats: int
    labels: list[str] | None = None


class SeatSection(_Answer, frozen=True, kw_only=True):
    """A section: seat n of it has the id `s<section_no>-<n>`."""

    section_no: int
    name: str
    tier_id: str
    rows: list[SeatRow]
    #: Empty, or at each seat's place what it is: accessible 1, restricted view 2, aisle 4, added.
    kinds: str
    #: At each seat's place f(ree), h(eld), s(old) or b(locked); a slash ends a row.
    status: str


class SeatChange(_Answer, frozen=True, kw_only=True):
    """Seats that went to another status together."""

    version: int
    status: str
    seat_ids: list[str]


class SeatMap(_Answer, frozen=True, kw_only=True):
    """The seats of an event at one version: all of them, or what changed since another."""

    event_id: str
    version: int
    sections: list[SeatSection] | None = None
    changes: list[SeatChange] | None = None


class SeatIds(_Request, frozen=True, kw_only=True):
    """Seats of an event."""

    seat_ids: Annotated[
        list[Annotated[str, Meta(max_length=16)]], Meta(min_length=1, max_length=BLOCK_SEATS_MAX)
    ]


class SeatsShifted(_Answer, frozen=True, kw_only=True):
    """Seats that are blocked now, or free."""

    event_id: str
    status: Literal["blocked", "free"]
    seat_ids: list[str]
    #: Place in the shard's journal.
    seq: int


class Join(_Request, frozen=True, kw_only=True):
    """What one waits for: the whole party or nothing."""

    tier_id: Annotated[str, Meta(max_length=64)]
    quantity: Annotated[int, Meta(ge=1, le=ORDER_PLACES_MAX)]
    #: A hold of one's own that expired: gives the first place, once.
    after_hold: Annotated[str, Meta(max_length=64)] | None = None


class Offer(_Answer, frozen=True, kw_only=True):
    """Places that are kept for one who waited, once."""

    id: str
    #: Accept before this time; later they are offered to the next.
    expires_at: dt.datetime


class WaitlistEntry(_Answer, frozen=True, kw_only=True):
    """One's place on the waitlist of a tier."""

    id: str
    event_id: str
    tier_id: str
    quantity: int
    #: `waiting`, then `offered` or `left`; an offer is accepted, declined, or expires.
    status: Literal["waiting", "offered", "accepted", "declined", "expired", "left"]
    #: How this event's list is led.
    policy: Literal["strict", "skip"]
    #: 1 is the head; null once one waits no longer.
    position: int | None
    #: Places that those ahead wait for; null if they are too many to add up.
    ahead_places: int | None
    #: Seconds at the rate of the last hour; null where too little returned to tell.
    estimate_s: int | None
    joined_at: dt.datetime
    offer: Offer | None
    #: The booking that the accepted offer became.
    booking_id: str | None
    #: Place in the shard's journal.
    seq: int


class WaitlistPage(_Answer, frozen=True, kw_only=True):
    """One page of waitlist entries, newest first."""

    data: list[WaitlistEntry]
    has_more: bool
    next_cursor: str | None
    #: False if PostgreSQL is behind and the newest entries may be missing here.
    up_to_date: bool


class Health(_Answer, frozen=True, kw_only=True):
    """State of the service and what it needs."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, str] = {}


class ProblemError(_Answer, frozen=True, kw_only=True):
    """One bad value."""

    #: JSON pointer into the request.
    pointer: str
    detail: str


class ProblemDetails(_Answer, frozen=True, kw_only=True):
    """An error, RFC 9457."""

    type: str
    title: str
    status: int
    code: str
    instance: str
    request_id: str
    detail: str = ""
    errors: list[ProblemError] = []

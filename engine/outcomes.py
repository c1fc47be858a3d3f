"""
Outcomes: what a script replied, as typed values.

A refusal is a value too (`Refused`), with the figures that say why; exceptions are for
infrastructure and bugs (`engine.errors`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from engine.batches import Batch
from engine.records import Item
from engine.status import Status
from engine.values import CONFIRMED, parse_items, parse_live_items

#: What follows a refusing status in a reply, in order; the Lua headers say the same.
REFUSAL_FIELDS: dict[Status, tuple[str, ...]] = {
    Status.IDEMPOTENCY_KEY_REUSED: (),
    Status.RATE_LIMITED: ("attempts_max", "window_ms", "retry_after_ms"),
    Status.EVENT_DAMAGED: (),
    Status.NOT_ON_SALE: (),
    Status.NOT_FOUND: (),
    Status.SALE_NOT_OPEN: ("opens_at_ms",),
    Status.SALE_CLOSED: ("closes_at_ms",),
    Status.EVENT_ENDED: ("ends_at_ms",),
    Status.PRICE_CHANGED: ("total_minor",),
    Status.BACKPRESSURE: (),
    Status.UNKNOWN_TIER: ("line",),
    Status.LIMIT_REACHED: ("scope", "max", "taken"),
    Status.PROMO_UNKNOWN: (),
    Status.PROMO_EXHAUSTED: ("uses_max",),
    Status.ALL_HELD: ("line", "available"),
    Status.KEPT_FOR_WAITLIST: ("line", "available"),
    Status.SOLD_OUT: ("line", "available"),
    Status.UNKNOWN_SEAT: ("line", "seat_id"),
    Status.SEAT_TAKEN: ("line", "seat_id"),
    Status.NOT_TOGETHER: ("line", "available"),
    Status.TOO_MANY_HOLDS: ("scope", "max", "retry_after_ms"),
    Status.HOLD_EXPIRED: ("expired_at_ms",),
    Status.HOLD_RELEASED: (),
    Status.HOLD_CONFIRMED: (),
    Status.EXTENSION_LIMIT: ("expires_at_ms",),
    Status.ALREADY_WAITING: ("entry_id",),
    Status.PLACES_AVAILABLE: ("available",),
    Status.PARTY_TOO_LARGE: ("max",),
    Status.WAITLIST_FULL: ("waiting",),
    Status.EVENT_CANCELLED: (),
    Status.TICKET_CANCELLED: (),
    Status.TICKET_SUPERSEDED: (),
    Status.ALREADY_CHECKED_IN: ("checked_in_at_ms", "gate"),
    Status.NOT_CHECKED_IN: (),
    Status.VERSION_CHANGED: ("version",),
    Status.NOT_IN_BOOKING: ("line",),
    Status.SEATS_NOT_NAMED: ("line",),
    Status.BELOW_MINIMUM: ("minimum",),
    Status.TICKET_TRANSFERRED: ("ticket_id",),
    Status.NO_TRANSFERS: (),
    Status.NOT_UPGRADED: (),
    Status.TIER_HAS_SEATS: ("line",),
    Status.SALE_DIFFERS: (),
    Status.CAPACITY_BELOW_TAKEN: ("line", "minimum"),
}

#: What may follow those, in order: the line, where it is a tier's own rule that refuses; when a
#: held place may return, where that is known; the ticket, where the command names none.
OPTIONAL_FIELDS: dict[Status, tuple[str, ...]] = {
    Status.SALE_NOT_OPEN: ("line",),
    Status.SALE_CLOSED: ("line",),
    Status.EVENT_ENDED: ("line",),
    Status.LIMIT_REACHED: ("line",),
    Status.BELOW_MINIMUM: ("line",),
    Status.ALREADY_CHECKED_IN: ("ticket_id",),
    Status.ALL_HELD: ("retry_after_ms",),
}


class Refused(NamedTuple):
    """The command changed nothing; `fields` say why in figures (see `REFUSAL_FIELDS`)."""

    status: Status
    fields: dict[str, int | str]


class Applied(NamedTuple):
    """The change stands in the journal at (epoch, seq)."""

    epoch: int
    seq: int
    #: Redis time of the change, Unix ms.
    at_ms: int
    #: True if an earlier call with the same id made the change.
    is_replay: bool


class Booked(NamedTuple):
    """The booking stands in the journal at (epoch, seq)."""

    epoch: int
    seq: int
    #: Redis time of the booking, Unix ms.
    at_ms: int
    #: True if an earlier call with the same key, or of the same hold, made the booking.
    is_replay: bool
    #: Those that it has now, or had when it ended.
    items: tuple[Item, ...]
    #: The script call that said so, with the bookings it told others of.
    batch: Batch | None = None
    #: What the booking is now: confirmed or cancelled, at which version, and when it ended.
    status: str = CONFIRMED
    version: int = 1
    cancelled_at_ms: int | None = None


class Held(NamedTuple):
    """The hold stands in the journal at (epoch, seq)."""

    epoch: int
    seq: int
    #: Redis time of the hold, Unix ms.
    at_ms: int
    #: True if an earlier call with the same key made the hold.
    is_replay: bool
    items: tuple[Item, ...]
    #: Deadline as it is now, Unix ms by Redis time.
    expires_at_ms: int


class Extended(NamedTuple):
    """The hold's new deadline stands in the journal at (epoch, seq)."""

    epoch: int
    seq: int
    at_ms: int
    #: The new deadline, Unix ms by Redis time.
    expires_at_ms: int


class Availability(NamedTuple):
    """An event's counters at one moment of the journal."""

    seq: int
    at_ms: int
    stock: dict[str, str]


class SeatMap(NamedTuple):
    """All seats of an event at one version: the status of each section, in order."""

    version: int
    at_ms: int
    statuses: tuple[str, ...]


class SeatChanges(NamedTuple):
    """What changed since a version, oldest first: (version, letter, seat ids)."""

    version: int
    at_ms: int
    changes: tuple[tuple[int, str, tuple[str, ...]], ...]


class Swept(NamedTuple):
    """Overdue holds were ended, and old ones forgotten: how many."""

    expired: int
    forgotten: int


class Emptied(NamedTuple):
    """A step in emptying a cancelled event: what ended, and how much is left."""

    holds: int
    bookings: int
    #: Places still taken, and entries that still wait.
    left: int
    entries: int

    @property
    def ended(self) -> int:
        """How much ended in all."""
        return self.holds + self.bookings + self.entries


def refused(reply: list[Any]) -> Refused | None:
    """Return the refusal that *reply* is, or None if it is none."""
    status = status_of(reply)
    names = REFUSAL_FIELDS.get(status)
    if names is None:
        return None
    values = [value.decode() if isinstance(value, bytes) else value for value in reply[1:]]
    if len(values) > len(names):
        names += OPTIONAL_FIELDS.get(status, ())
    return Refused(status, dict(zip(names, values, strict=True)))


def status_of(reply: list[Any]) -> Status:
    """Return the status that leads *reply*."""
    return Status(reply[0].decode())


def applied(reply: list[Any]) -> Applied | Refused:
    """Read `STATUS epoch seq at_ms`; what follows is for witnesses."""
    return refused(reply) or Applied(
        int(reply[1]), int(reply[2]), int(reply[3]), status_of(reply) is Status.REPLAYED
    )


def scanned(reply: list[Any]) -> Applied | Refused:
    """Read what `applied` does, and a scan that was too late: now, or when it came first."""
    status, late = status_of(reply), Status.ALREADY_CHECKED_IN
    if status is Status.SCAN_REFUSED:
        return refused([late.encode(), *reply[4:6]]) or applied(reply)
    if status is late and len(reply) > 3:
        refusal = refused(reply[:3])
        assert refusal is not None
        return refusal._replace(fields=refusal.fields | {"is_replay": 1})
    return applied(reply)


def booked(row: list[Any]) -> Booked | Refused:
    """Read `STATUS epoch seq at_ms items fingerprint`, and behind that what `now` reads."""
    refusal = refused(row)
    if refusal is not None:
        return refusal
    is_replay = status_of(row) is Status.REPLAYED
    made = Booked(
        int(row[1]), int(row[2]), int(row[3]), is_replay, parse_live_items(row[4].decode())
    )
    return now(made, row[6:]) if is_replay else made


def now(made: Booked, words: Sequence[bytes]) -> Booked:
    """Add what became of a booking since it was made, `status version cancelled_at_ms`, if any."""
    if not words:
        return made
    status, version, *end = words
    return made._replace(
        status=status.decode(), version=int(version), cancelled_at_ms=int(end[0]) if end else None
    )


def held(reply: list[Any]) -> Held | Refused:
    """Read `STATUS epoch seq at_ms items expires_at_ms`."""
    return refused(reply) or Held(
        int(reply[1]),
        int(reply[2]),
        int(reply[3]),
        status_of(reply) is Status.REPLAYED,
        parse_items(reply[4].decode()),
        int(reply[5]),
    )


def extended(reply: list[Any]) -> Extended | Refused:
    """Read `STATUS epoch seq at_ms expires_at_ms`."""
    return refused(reply) or Extended(*(int(value) for value in reply[1:5]))


def swept(reply: list[Any]) -> Swept | Refused:
    """Read `STATUS expired forgotten`."""
    return refused(reply) or Swept(int(reply[1]), int(reply[2]))


def emptied(reply: list[Any]) -> Emptied | Refused:
    """Read `STATUS holds bookings left entries`."""
    return refused(reply) or Emptied(*map(int, reply[1:]))


def seat_map(reply: list[Any]) -> SeatMap | SeatChanges | Refused:
    """Read `STATUS version at_ms ...`."""
    refusal = refused(reply)
    if refusal is not None:
        return refusal
    version, at_ms, words = int(reply[1]), int(reply[2]), [word.decode() for word in reply[3:]]
    if status_of(reply) is Status.SEATS:
        return SeatMap(version, at_ms, tuple(words))
    rows = (word.split(" ") for word in words)
    changes = tuple((int(its), letter, tuple(seats.split("+"))) for its, letter, seats in rows)
    return SeatChanges(version, at_ms, changes)


def availability(reply: list[Any]) -> Availability | Refused:
    """Read `STATUS seq at_ms field value ...`."""
    refusal = refused(reply)
    if refusal is not None:
        return refusal
    flat = [field.decode() for field in reply[3:]]
    return Availability(int(reply[1]), int(reply[2]), dict(zip(flat[::2], flat[1::2], strict=True)))

"""
Outcomes: what a script replied, as typed values.

A refusal is a value too (`Refused`), with the figures that say why; exceptions are for
infrastructure and bugs (`engine.errors`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from engine.batches import Batch
from engine.records import Item
from engine.status import Status
from engine.values import parse_items

#: What follows a refusing status in a reply, in order; the Lua headers say the same.
REFUSAL_FIELDS: dict[Status, tuple[str, ...]] = {
    Status.IDEMPOTENCY_KEY_REUSED: (),
    Status.RATE_LIMITED: ("attempts_max", "window_ms", "retry_after_ms"),
    Status.NOT_ON_SALE: (),
    Status.NOT_FOUND: (),
    Status.SALE_NOT_OPEN: ("opens_at_ms",),
    Status.SALE_CLOSED: ("closes_at_ms",),
    Status.BACKPRESSURE: (),
    Status.UNKNOWN_TIER: ("line",),
    Status.LIMIT_REACHED: ("scope", "max", "taken"),
    Status.PROMO_UNKNOWN: (),
    Status.PROMO_EXHAUSTED: ("uses_max",),
    Status.ALL_HELD: ("line", "available", "retry_after_ms"),
    Status.SOLD_OUT: ("line", "available"),
    Status.UNKNOWN_SEAT: ("line", "seat_id"),
    Status.SEAT_TAKEN: ("line", "seat_id"),
    Status.NOT_TOGETHER: ("line", "available"),
    Status.HOLD_EXPIRED: ("expired_at_ms",),
    Status.HOLD_RELEASED: (),
    Status.HOLD_CONFIRMED: (),
    Status.EXTENSION_LIMIT: ("expires_at_ms",),
    Status.ALREADY_WAITING: ("entry_id",),
    Status.PLACES_AVAILABLE: ("available",),
    Status.WAITLIST_FULL: ("waiting",),
    Status.EVENT_CANCELLED: (),
    Status.TICKET_CANCELLED: (),
    Status.TICKET_SUPERSEDED: (),
    Status.ALREADY_CHECKED_IN: ("checked_in_at_ms", "gate"),
    Status.NOT_CHECKED_IN: (),
    Status.VERSION_CHANGED: ("version",),
    Status.NOT_IN_BOOKING: ("line",),
    Status.CAPACITY_BELOW_TAKEN: ("line", "minimum"),
}

#: What may follow those, in order: the line, where it is a tier's own rule that refuses.
OPTIONAL_FIELDS: dict[Status, tuple[str, ...]] = {
    Status.SALE_NOT_OPEN: ("line",),
    Status.SALE_CLOSED: ("line",),
    Status.LIMIT_REACHED: ("line",),
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
    items: tuple[Item, ...]
    #: The script call that said so, with the bookings it told others of.
    batch: Batch | None = None


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
    """A step in giving back a cancelled event's places: what ended, and how many are left."""

    holds: int
    bookings: int
    left: int


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
    """Read `STATUS epoch seq at_ms`."""
    return refused(reply) or Applied(
        int(reply[1]), int(reply[2]), int(reply[3]), status_of(reply) is Status.REPLAYED
    )


def scanned(reply: list[Any]) -> Applied | Refused:
    """Read what `applied` does, and a scan that was too late: now, or when it came first."""
    status, late = status_of(reply), Status.ALREADY_CHECKED_IN
    if status is Status.SCAN_REFUSED:
        return refused([late.encode(), *reply[4:]]) or applied(reply)
    if status is late and len(reply) > 3:
        refusal = refused(reply[:3])
        assert refusal is not None
        return refusal._replace(fields=refusal.fields | {"is_replay": 1})
    return applied(reply)


def booked(row: list[Any]) -> Booked | Refused:
    """Read `STATUS epoch seq at_ms items`."""
    return refused(row) or Booked(
        int(row[1]),
        int(row[2]),
        int(row[3]),
        status_of(row) is Status.REPLAYED,
        parse_items(row[4].decode()),
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


def swept(reply: list[Any]) -> Swept:
    """Read `STATUS expired forgotten`."""
    return Swept(int(reply[1]), int(reply[2]))


def emptied(reply: list[Any]) -> Emptied | Refused:
    """Read `STATUS holds bookings left`."""
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

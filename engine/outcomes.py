"""
Outcomes: what a script replied, as typed values.

A refusal is a value too (`Refused`), with the figures that say why; exceptions are for
infrastructure and bugs (`engine.errors`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from engine.batches import BOOKINGS, Batch, Landed
from engine.records import Item
from engine.status import Status

_BETWEEN = '","'

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


class Hold(NamedTuple):
    """A hold as Redis keeps it; `status` is held, released, expired or confirmed."""

    status: str
    version: int
    epoch: int
    seq: int
    at_ms: int
    user_id: str
    fingerprint: str
    items: tuple[Item, ...]
    expires_at_ms: int
    #: Place of its last record.
    changed_epoch: int
    changed_seq: int
    #: JSON object kept with it.
    detail: bytes


def parse_items(text: str) -> tuple[Item, ...]:
    """
    Read items as Redis keeps them: `tier_no:quantity:price_minor[:seat+seat],...`.

    Of a booking that has lost places since (`lua/lib/bookings.lua`), those it was made with: what
    the first reply said.
    """
    items = []
    for line in _made_with(text).split(","):
        tier_no, quantity, price_minor, *seats = line.split(":")
        seat_ids = tuple(seats[0].split("+")) if seats else ()
        items.append(Item(int(tier_no), int(quantity), int(price_minor), seat_ids))
    return tuple(items)


@lru_cache(maxsize=4_096)
def _items_of_line(text: bytes) -> tuple[Item, ...]:
    """Read items as `parse_items` does; in a rush the same few come again and again."""
    return parse_items(text.decode())


def item_rows(text: str) -> str:
    """Turn items as Redis keeps them into the JSON rows of a record, as the scripts write them."""
    if "," not in text and "/" not in text and ":s" not in text:
        return f"[[{text.replace(':', ',')}]]"  # One line without seats, as most are.
    rows = []
    for line in _made_with(text).split(","):
        head, colon, seats = line.partition(":s")
        row = head.replace(":", ",")
        rows.append(f'[{row},["s{seats.replace("+", _BETWEEN)}"]]' if colon else f"[{row}]")
    return f"[{','.join(rows)}]"


def _made_with(text: str) -> str:
    """Return the items that a booking was made with, as they were kept then."""
    live, _, past = text.partition("/")
    return past.partition("/")[0].replace("x", ":") or live


def parse_hold(row: bytes) -> Hold:
    """
    Read a hold as the scripts keep it (`lua/lib/holds.lua`).

    Raises:
        ValueError: it has another form.
    """
    head = row.split(b" ", 11)
    if len(head) != 12:
        raise ValueError(f"not a hold: {row[:200]!r}")
    words, detail = [word.decode() for word in head[:11]], head[11]
    return Hold(
        status=words[0],
        version=int(words[1]),
        epoch=int(words[2]),
        seq=int(words[3]),
        at_ms=int(words[4]),
        user_id=words[5],
        fingerprint=words[6],
        items=parse_items(words[7]),
        expires_at_ms=int(words[8]),
        changed_epoch=int(words[9]),
        changed_seq=int(words[10]),
        detail=detail,
    )


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


def booked(reply: list[Any] | bytes | Landed) -> Booked | Refused:
    """Read `STATUS epoch seq at_ms items`, an array or a line, perhaps with its batch."""
    batch = None
    if isinstance(reply, Landed):
        words, batch = reply
    elif isinstance(reply, bytes):
        words = reply.split(b" ")
    else:
        words = reply
    status = words[0]
    if status in BOOKINGS:
        return Booked(
            int(words[1]),
            int(words[2]),
            int(words[3]),
            status == b"REPLAYED",
            _items_of_line(words[4]),
            batch,
        )
    return _refused_line(reply) if isinstance(reply, bytes) else _refused_array(words)


def _refused_array(words: list[Any]) -> Refused:
    refusal = refused(words)
    if refusal is None:
        raise ValueError(f"not a refusal: {words!r}")
    return refusal


@lru_cache(maxsize=4_096)
def _refused_line(line: bytes) -> Refused:
    """Read a refusal; once an event is sold out, all are told the same."""
    return _refused_array([int(word) if word.isdigit() else word for word in line.split(b" ")])


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

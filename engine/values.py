"""
What Redis keeps of bookings, holds, waitlist entries and tickets: each text read, and written.

The one place in Python that knows these texts (docs/DATA.md); the scripts write the same
(`keep_booking`, `keep_hold`, `keep_ticket`, `keep_entry` in `lua/lib/`). Words stand in the order
of the fields below. Whatever has another form raises `ValueError`, and no script writes such.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import wraps
from typing import NamedTuple, TypeVar

from engine.cuts import CUTS, NAMES
from engine.records import Item

CONFIRMED = "confirmed"
CANCELLED = "cancelled"
#: Statuses of a waitlist entry that is not over.
LIVE = ("waiting", "offered")
TICKET_STATUSES = ("valid", "checked_in", "undone")
#: What a scan of a ticket was.
SCANS = ("in", "undone", "refused")

_Value = TypeVar("_Value")

_BETWEEN = '","'
_LINE = r"\d+:\d+:\d+(:s\d+-\d+(\+s\d+-\d+)*)?"
_ITEMS = re.compile(f"{_LINE}(,{_LINE})*")
#: How a value of version 2 begins: a booking whose cuts name tickets.
_MARK = b"=2 "


def _reads(what: str) -> Callable[[Callable[[bytes], _Value]], Callable[[bytes], _Value]]:
    """Make whatever a reader stumbles over one error that shows the text."""

    def decorate(read: Callable[[bytes], _Value]) -> Callable[[bytes], _Value]:
        @wraps(read)
        def careful(text: bytes) -> _Value:
            try:
                return read(text)
            except ValueError as error:
                raise ValueError(f"not {what}: {text[:200]!r}") from error

        return careful

    return decorate


def _text(words: Iterable[object]) -> str:
    return " ".join(map(str, words))


# Items: `tier_no:quantity:price_minor[:seat+seat],...`


def parse_items(text: str) -> tuple[Item, ...]:
    """
    Read items.

    Of a booking that has lost places since (`engine.cuts`), those it was made with: what the first
    reply said.
    """
    items = []
    for line in _made_with(text).split(","):
        tier_no, quantity, price_minor, *seats = line.split(":")
        seat_ids = tuple(seats[0].split("+")) if seats else ()
        items.append(Item(int(tier_no), int(quantity), int(price_minor), seat_ids))
    return tuple(items)


def parse_live_items(text: str) -> tuple[Item, ...]:
    """Read items; of a booking that has lost places, those that it has now."""
    return parse_items(text.partition("/")[0])


def items_text(items: Iterable[Item]) -> str:
    """Write a record's lines as Redis and the queries do: what `parse_items` reads."""
    return ",".join(
        f"{item.tier_no}:{item.quantity}:{item.unit_price_minor}"
        + (f":{'+'.join(item.seat_ids)}" if item.seat_ids else "")
        for item in items
    )


def item_rows(text: str) -> str:
    """Turn items into the JSON rows of a record, as the scripts write them."""
    if "," not in text and "/" not in text and ":s" not in text:
        return f"[[{text.replace(':', ',')}]]"  # One line without seats, as most are.
    rows = []
    for line in _made_with(text).split(","):
        head, colon, seats = line.partition(":s")
        row = head.replace(":", ",")
        rows.append(f'[{row},["s{seats.replace("+", _BETWEEN)}"]]' if colon else f"[{row}]")
    return f"[{','.join(rows)}]"


def lines_of(items: str) -> list[tuple[int, int]]:
    """Read items, also none, as pairs of tier_no and quantity."""
    lines = []
    for text in filter(None, items.split(",")):
        tier_no, quantity, *_ = text.split(":")
        lines.append((int(tier_no), int(quantity)))
    return lines


def _made_with(text: str) -> str:
    """Return the items that a booking was made with, as they were kept then."""
    live, _, past = text.partition("/")
    return past.partition("/")[0].replace("x", ":") or live


class Booking(NamedTuple):
    """A booking's content: the same fields whether it comes from Redis, rows or records."""

    status: str
    version: int
    #: Place of its `booked` record.
    epoch: int
    seq: int
    at_ms: int
    user_id: str
    fingerprint: str
    #: `tier_no:quantity:price_minor[:seat+seat],...`
    items: str
    cancelled_at_ms: int | None = None
    #: Place of its `cancelled` record; rows in PostgreSQL do not keep it.
    cancel_epoch: int | None = None
    cancel_seq: int | None = None
    #: What it was made with and what was cut since (`engine.cuts`); None if nothing was.
    cuts: str | None = None

    @property
    def is_live(self) -> bool:
        """Tell whether its places are taken."""
        return self.status == CONFIRMED

    @property
    def lines(self) -> list[tuple[int, int]]:
        """Its lines as pairs of tier_no and quantity."""
        return lines_of(self.items)

    @property
    def seat_ids(self) -> list[str]:
        """Its seats, of all tiers."""
        lines = (text.split(":") for text in self.items.split(",") if text)
        return [seat for line in lines if len(line) == 4 for seat in line[3].split("+")]

    @property
    def places(self) -> int:
        """Number of its places, of all tiers."""
        return sum(quantity for _, quantity in self.lines)

    @property
    def tier_no(self) -> int | None:
        """Its first tier: what names it for people."""
        return next((tier_no for tier_no, _ in self.lines), None)


def unmarked(text: bytes) -> bytes:
    """Return the words of a booking, of which the first is its status: its text without a mark."""
    return text.removeprefix(_MARK)


@_reads("a booking")
def parse_booking(text: bytes) -> Booking:
    """Read a booking as the scripts write it (`lua/book.lua`, `lua/cancel.lua`)."""
    words = unmarked(text).decode().split(" ")
    status, version, epoch, seq, at_ms, user_id, fingerprint, kept, *end = words
    items, slash, cuts = kept.partition("/")
    if (
        (status, len(end)) not in {(CONFIRMED, 0), (CANCELLED, 3)}
        or not _ITEMS.fullmatch(items)
        or (slash and not CUTS.fullmatch(cuts))
        or (NAMES in cuts) != text.startswith(_MARK)
    ):
        raise ValueError(status)
    cancel_epoch, cancel_seq, cancelled_at_ms = map(int, end) if end else (None, None, None)
    return Booking(
        status,
        int(version),
        int(epoch),
        int(seq),
        int(at_ms),
        user_id,
        fingerprint,
        items,
        cancelled_at_ms,
        cancel_epoch,
        cancel_seq,
        cuts or None,
    )


def booking_text(booking: Booking) -> str:
    """Write a booking: what `parse_booking` reads."""
    items = booking.items + (f"/{booking.cuts}" if booking.cuts else "")
    end: tuple[object, ...] = ()
    if booking.status == CANCELLED:
        end = (booking.cancel_epoch, booking.cancel_seq, booking.cancelled_at_ms)
    mark = _MARK.decode() if booking.cuts and NAMES in booking.cuts else ""
    return mark + _text((*booking[:7], items, *end))


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

    @property
    def is_live(self) -> bool:
        """Tell whether it holds places."""
        return self.status == "held"

    @property
    def lines(self) -> list[tuple[int, int]]:
        """Its lines as pairs of tier_no and quantity."""
        return [(item.tier_no, item.quantity) for item in self.items]

    @property
    def seat_ids(self) -> list[str]:
        """Its seats, of all tiers."""
        return [seat for item in self.items for seat in item.seat_ids]


@_reads("a hold")
def parse_hold(text: bytes) -> Hold:
    """Read a hold as the scripts keep it (`lua/lib/holds.lua`)."""
    *head, detail = text.split(b" ", 11)
    status, version, epoch, seq, at_ms, user_id, fingerprint, items, *last = (
        word.decode() for word in head
    )
    expires_at_ms, changed_epoch, changed_seq = map(int, last)
    return Hold(
        status,
        int(version),
        int(epoch),
        int(seq),
        int(at_ms),
        user_id,
        fingerprint,
        parse_items(items),
        expires_at_ms,
        changed_epoch,
        changed_seq,
        detail,
    )


def hold_text(hold: Hold) -> str:
    """Write a hold: what `parse_hold` reads."""
    return _text((*hold[:7], items_text(hold.items), *hold[8:11], hold.detail.decode()))


class WaitEntry(NamedTuple):
    """
    A waitlist entry; `status` is waiting, offered, accepted, declined, expired or left.

    Or it says why it ended otherwise: limit, too_large or event_cancelled.
    """

    status: str
    version: int
    #: Place of its `joined` record.
    epoch: int
    seq: int
    at_ms: int
    user_id: str
    fingerprint: str
    tier_no: int
    quantity: int
    #: Twelve digits that order a tier's list.
    join_no: str
    #: When it first stopped a strict list, Unix ms; 0 for never.
    stalled_at_ms: int
    #: Place and time of its last record.
    changed_epoch: int
    changed_seq: int
    changed_at_ms: int


@_reads("a waitlist entry")
def parse_entry(text: bytes) -> WaitEntry:
    """Read an entry as the scripts keep it (`lua/lib/waitlist.lua`)."""
    status, version, epoch, seq, at_ms, *words = text.decode().split(" ")
    user_id, fingerprint, tier_no, quantity, join_no, *last = words
    stalled_at_ms, changed_epoch, changed_seq, changed_at_ms = map(int, last)
    return WaitEntry(
        status,
        int(version),
        int(epoch),
        int(seq),
        int(at_ms),
        user_id,
        fingerprint,
        int(tier_no),
        int(quantity),
        join_no,
        stalled_at_ms,
        changed_epoch,
        changed_seq,
        changed_at_ms,
    )


def entry_text(entry: WaitEntry) -> str:
    """Write an entry: what `parse_entry` reads."""
    return _text(entry)


#: Characters of a list's member before the entry's id: `<tier_no>:<join_no>:`.
MEMBER_HEAD_CHARS = 17


def member(entry_id: str, entry: WaitEntry) -> str:
    """Return how the entry stands in the sorted set of those who wait."""
    return f"{entry.tier_no:03}:{entry.join_no}:{entry_id}"


class Ticket(NamedTuple):
    """A ticket that was ever changed, as its last change left it."""

    status: str
    version: int
    holder_id: str
    at_ms: int
    gate: str
    by: str
    epoch: int
    seq: int
    #: Scans that it remembers, as `parse_scans` reads them; they are no part of its last change.
    scans: str = ""

    @property
    def place(self) -> tuple[int, int]:
        """Epoch and seq of the last record of it, its scans included."""
        places = [(scan.epoch, scan.seq) for scan in parse_scans(self.scans)]
        return max([(self.epoch, self.seq), *places])


class PastScan(NamedTuple):
    """A scan that a ticket remembers; `what` is in, undone or refused."""

    scan_id: str
    what: str
    #: 0 if it is not told.
    scanned_at_ms: int
    gate: str
    epoch: int
    seq: int
    at_ms: int
    #: Of the check-in that a refused one came after.
    before_at_ms: int = 0
    before_gate: str = ""

    @property
    def text(self) -> str:
        """The words of it."""
        return ":".join(map(str, self if self.what == "refused" else self[:7]))


def parse_scans(text: str) -> list[PastScan]:
    """Read what a ticket remembers of its scans (`scan_word` in `lua/lib/tickets.lua`)."""
    found = []
    for part in filter(None, text.split(",")):
        scan_id, what, scanned_at_ms, gate, epoch, seq, at_ms, *before = part.split(":")
        if what not in SCANS or len(before) != 2 * (what == "refused"):
            raise ValueError(part)
        after = (int(before[0]), before[1]) if before else ()
        found.append(
            PastScan(
                scan_id, what, int(scanned_at_ms), gate, int(epoch), int(seq), int(at_ms), *after
            )
        )
    return found


@_reads("a ticket")
def parse_ticket(text: bytes) -> Ticket:
    """Read a ticket as the scripts keep it (`lua/lib/tickets.lua`)."""
    status, version, holder_id, at_ms, gate, by, epoch, seq, *rest = text.decode().split(" ")
    [scans] = rest or [""]
    if status not in TICKET_STATUSES or (rest and not parse_scans(scans)):
        raise ValueError(status)
    own = int(at_ms), gate, by, int(epoch), int(seq)
    return Ticket(status, int(version), holder_id, *own, scans)


def ticket_text(ticket: Ticket) -> str:
    """Write a ticket: what `parse_ticket` reads."""
    return _text(ticket if ticket.scans else ticket[:-1])

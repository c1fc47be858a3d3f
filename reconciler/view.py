"""
What the invariants look at: a group of events as PostgreSQL and Redis have them, frozen.

A view is of one moment of the journal, its watermark W: `expected` is what the records up to W
say (PostgreSQL's rows at the checkpoint, folded with the records after it), `stock` is what Redis
counted at W, `bookings` and `persons` were scanned a little later and are judged relative to W.
Nothing here reads a server, so that every invariant is a function of values.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.outcomes import Hold
from engine.records import Published
from engine.waitlist import Entry
from reconciler.gate import Ticket, items_left, join_cuts, split_cuts
from store.audit import EventRow, SectionRow, TierRow

CONFIRMED = "confirmed"
CANCELLED = "cancelled"

_VALUE_WORDS = {CONFIRMED: 8, CANCELLED: 11}
_LINE = r"\d+:\d+:\d+(:s\d+-\d+(\+s\d+-\d+)*)?"
_ITEMS = re.compile(f"{_LINE}(,{_LINE})*")
_CUTS = re.compile(r"\d+x\d+x\d+(,\d+x\d+x\d+)*(/\d+-\d+-\d+-\d+x\d+x\d+(,\d+x\d+x\d+)*)+")


class Unreadable(ValueError):
    """A value in Redis is not of the form that the scripts write."""


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
    #: What it was made with and what was cut since (`lua/lib/bookings.lua`); None if nothing was.
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


def lines_of(items: str) -> list[tuple[int, int]]:
    """Read items as they are kept: pairs of tier_no and quantity."""
    lines = []
    for text in filter(None, items.split(",")):
        tier_no, quantity, *_ = text.split(":")
        lines.append((int(tier_no), int(quantity)))
    return lines


def parse_booking(value: bytes) -> Booking:
    """
    Read a booking as the scripts write it (`lua/book.lua`, `lua/cancel.lua`).

    Raises:
        Unreadable: it has another form.
    """
    try:
        words = value.decode().split(" ")
        if _VALUE_WORDS.get(words[0]) != len(words) or not _is_items(words[7]):
            raise Unreadable(f"not a booking: {value[:200]!r}")
        status, version, epoch, seq, at_ms, user_id, fingerprint, items, *end = words
        items, _, cuts = items.partition("/")
        booking = Booking(
            status,
            int(version),
            int(epoch),
            int(seq),
            int(at_ms),
            user_id,
            fingerprint,
            items,
            cuts=cuts or None,
        )
        if end:
            booking = booking._replace(
                cancel_epoch=int(end[0]), cancel_seq=int(end[1]), cancelled_at_ms=int(end[2])
            )
    except ValueError as error:
        raise Unreadable(f"not a booking: {value[:200]!r}") from error
    return booking


def _is_items(word: str) -> bool:
    items, slash, cuts = word.partition("/")
    return bool(_ITEMS.fullmatch(items)) and (not slash or bool(_CUTS.fullmatch(cuts)))


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


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardView:
    """A shard's door and journal at one moment, Redis and PostgreSQL side by side."""

    shard: int
    #: `shard_epoch` in PostgreSQL: (epoch, state); None if nobody ever claimed the shard.
    reign: tuple[int, str] | None
    #: `meta` in Redis, raw; empty if Redis has none.
    meta: Mapping[str, str]
    #: Redis' own epoch; 0 without meta.
    epoch: int
    #: W: last record that Redis has made.
    watermark_seq: int
    #: Last record that PostgreSQL had when its rows were read.
    checkpoint_seq: int
    #: The same, read after Redis.
    checkpoint_after_seq: int
    #: Last seq of the stream (0 if empty).
    stream_last_seq: int
    #: Records after the checkpoint, up to W.
    tail_records: int
    broken: BrokenRecords
    has_published_events: bool

    @property
    def lag(self) -> int:
        """Records that PostgreSQL did not have yet."""
        return max(0, self.watermark_seq - self.checkpoint_seq)

    def is_after(self, epoch: int, seq: int) -> bool:
        """Tell whether a change happened after the watermark, and is therefore not judged."""
        return epoch == self.epoch and seq > self.watermark_seq


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What else a booking's rows in PostgreSQL say."""

    total_minor: int
    shard: int
    #: Its tickets as `id:tier_no`, or `id:tier_no:seat_id` while they hold the seat.
    tickets: tuple[str, ...]
    #: Its lines, which may be older than the fold's; None: the fold's.
    items: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ListView:
    """An event's waitlist: as the records up to the watermark say, and as scanned after it."""

    expected: Mapping[str, Entry] = field(default_factory=dict)
    #: `waitlist` in Redis, scanned before `entries`.
    members: Sequence[str] = ()
    entries: Mapping[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class EventView:
    """One event at the watermark of its shard."""

    shard: ShardView
    event_id: str
    #: The organizer's row; None if there is none.
    row: EventRow | None
    tiers: Sequence[TierRow]
    #: The last `published` record up to the watermark.
    published: Published | None
    #: Fold of the ledger: bookings as the records up to the watermark say.
    expected: Mapping[str, Booking]
    #: PostgreSQL's rows at the checkpoint, by booking.
    rows: Mapping[str, Row]
    #: Tickets and lines without a booking: (booking, tier_no, what).
    orphans: Sequence[tuple[str, int, str]]
    #: Whether `events` in Redis names it.
    is_listed: bool
    #: `stock` in Redis at the watermark, raw; empty if not loaded.
    stock: Mapping[str, str]
    #: `persons` as scanned after the watermark.
    persons: Mapping[str, int]
    #: `bookings` as scanned after `persons`.
    bookings: Mapping[str, Booking]
    #: Values of the two hashes that could not be read: (field, why).
    unreadable: Sequence[tuple[str, str]]
    #: Last record that Redis had made when the scans were over.
    seq_after: int
    #: `holds` as scanned between `persons` and `bookings`.
    holds: Mapping[str, Hold] = field(default_factory=dict)
    #: Live holds that have no deadline, and would never end.
    endless: Sequence[str] = ()
    #: `seats` in Redis at the watermark, raw; empty if the event has none.
    seats: Mapping[str, str] = field(default_factory=dict)
    sections: Sequence[SectionRow] = ()
    #: `promos` in Redis at the watermark, raw; empty if the event has none.
    promos: Mapping[str, str] = field(default_factory=dict)
    #: Blocked seats by the records up to the watermark, with their tiers.
    blocked: Mapping[str, int] = field(default_factory=dict)
    #: The waitlist, by its records and in Redis.
    waitlist: ListView = field(default_factory=ListView)
    #: Changed tickets as the records up to the watermark say.
    expected_tickets: Mapping[str, Ticket] = field(default_factory=dict)
    #: `tickets` as scanned after the watermark.
    tickets: Mapping[str, Ticket] = field(default_factory=dict)

    @property
    def held(self) -> Counter[int]:
        """Places by tier_no of the holds that were live at the watermark."""
        places: Counter[int] = Counter()
        for hold in self.holds.values():
            if self.was_live(hold):
                for item in hold.items:
                    places[item.tier_no] += item.quantity
        return places

    def was_live(self, hold: Hold) -> bool:
        """
        Tell whether a hold was live at the watermark.

        One that had expired before and was confirmed late after it looks live here; the second
        look, which every suspicion gets, clears it.
        """
        if self.shard.is_after(hold.epoch, hold.seq):
            return False
        return hold.status == "held" or self.shard.is_after(hold.changed_epoch, hold.changed_seq)

    def tier_id(self, tier_no: int | None) -> str | None:
        """Return the id of a tier."""
        return next((tier.id for tier in self.tiers if tier.tier_no == tier_no), None)

    def at_watermark(self, booking: Booking) -> Booking | None:
        """Return what a booking was at the watermark: its value tells its whole history."""
        if self.shard.is_after(booking.epoch, booking.seq):
            return None
        cancel_epoch, cancel_seq = booking.cancel_epoch or 0, booking.cancel_seq or 0
        if self.shard.is_after(cancel_epoch, cancel_seq):
            booking = booking._replace(
                status=CONFIRMED,
                version=booking.version - 1,
                cancelled_at_ms=None,
                cancel_epoch=None,
                cancel_seq=None,
            )
        if booking.cuts is not None:
            first, cuts = split_cuts(booking.cuts)
            kept = [cut for cut in cuts if not self.shard.is_after(cut.epoch, cut.seq)]
            if len(kept) < len(cuts):
                booking = booking._replace(
                    version=booking.version - len(cuts) + len(kept),
                    items=items_left(first, kept),
                    cuts=join_cuts(first, kept),
                )
        return booking

    def changes_after(self, booking: Booking) -> list[tuple[int, int, str]]:
        """Return what a booking did to its person after the watermark: (seq, 1 or -1, items)."""
        first, cuts = split_cuts(booking.cuts) if booking.cuts else (booking.items, [])
        changes = [(booking.epoch, booking.seq, 1, first)]
        changes += [(cut.epoch, cut.seq, -1, cut.items) for cut in cuts]
        if booking.cancel_seq is not None:
            changes.append((booking.cancel_epoch or 0, booking.cancel_seq, -1, booking.items))
        return [change[1:] for change in changes if self.shard.is_after(*change[:2])]


def of_event(
    view: EventView,
    invariant: str,
    code: str,
    *,
    message: str,
    tier_no: int | None = None,
    booking_id: str | None = None,
    seq: int | None = None,
    expected: str | int | None = None,
    found: str | int | None = None,
    subject: str = "",
) -> Violation:
    """Say what is wrong with an event."""
    return Violation(
        invariant=invariant,
        code=code,
        shard=view.shard.shard,
        event_id=view.event_id,
        tier_no=tier_no,
        tier_id=view.tier_id(tier_no),
        booking_id=booking_id,
        seq=seq,
        expected=expected,
        found=found,
        message=message,
        subject=subject,
    )


def of_booking(
    view: EventView,
    invariant: str,
    code: str,
    booking_id: str,
    booking: Booking,
    *,
    message: str,
    expected: str | int | None,
    found: str | int | None,
    subject: str = "",
) -> Violation:
    """Say what is wrong with a booking."""
    return of_event(
        view,
        invariant,
        code,
        message=message,
        tier_no=booking.tier_no,
        booking_id=booking_id,
        seq=booking.seq,
        expected=expected,
        found=found,
        subject=subject,
    )


def sold(bookings: Iterable[Booking]) -> Counter[int]:
    """Return the places of live bookings by tier."""
    taken: Counter[int] = Counter()
    for booking in bookings:
        if booking.status == CONFIRMED:
            for tier_no, quantity in booking.lines:
                taken[tier_no] += quantity
    return taken


def number(text: str | None) -> int | None:
    """Read a counter; None if it is missing or is no integer."""
    try:
        return None if text is None else int(text)
    except ValueError:
        return None

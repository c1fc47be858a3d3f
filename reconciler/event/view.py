"""
What the invariants look at: a group of events as PostgreSQL and Redis have them, frozen.

A view is of one moment of the journal, its watermark W: `state` is what the records up to W say
(PostgreSQL's rows at the checkpoint, folded with the records after it), `stock` is what Redis
counted at W, hashes were scanned a little later and are judged relative to W.
Nothing here reads a server, so that every invariant is a function of values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from engine import keys
from engine.cuts import items_left, join_cuts, split_cuts
from engine.records import Published
from engine.values import CONFIRMED, Booking, Hold, Ticket, WaitEntry
from reconciler.event.state import EventState
from reconciler.event.violation import BrokenRecords, Violation
from store.audit import EventRow, PromoRow, SectionRow, TierRow


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
    #: Its lines and cuts, which may be older than the fold's; None: the fold's.
    items: str | None = None
    cuts: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InRedis:
    """All that Redis has of an event. Of a live one, hashes were scanned in the order given."""

    event_id: str
    #: Read at the watermark, raw; empty if there is none.
    stock: Mapping[str, str]
    seats: Mapping[str, str] = field(default_factory=dict)
    promos: Mapping[str, str] = field(default_factory=dict)
    #: Scanned after it. First what others are counted in: what a count includes is seen then.
    persons: Mapping[str, int] = field(default_factory=dict)
    tickets: Mapping[str, Ticket] = field(default_factory=dict)
    holds: Mapping[str, Hold] = field(default_factory=dict)
    #: Members of `deadlines` and of `ended`.
    deadlines: Mapping[str, float] = field(default_factory=dict)
    ended: Set[str] = frozenset()
    #: Live holds that have no deadline, and would never end.
    endless: Sequence[str] = ()
    #: Members of `waitlist`.
    members: Sequence[str] = ()
    entries: Mapping[str, WaitEntry] = field(default_factory=dict)
    #: Who waits with which entry, and which hold has given a first place to which.
    pointers: Mapping[str, str] = field(default_factory=dict)
    bookings: Mapping[str, Booking] = field(default_factory=dict)
    #: Values of the hashes that could not be read: (field, why).
    unreadable: Sequence[tuple[str, str]] = ()
    #: Keys that have their mark (`engine.keys.MARK`).
    marked: Set[str] = frozenset()

    @property
    def lost(self) -> list[str]:
        """Keys that are not there any more; events of older code have no marks to tell."""
        if not self.marked or (self.stock and "stock" not in self.marked):
            return []
        return [name for name in keys.EventKeys._fields if name not in self.marked]


@dataclass(frozen=True, kw_only=True, slots=True)
class EventView(InRedis):
    """One event at the watermark of its shard."""

    shard: ShardView
    #: The organizer's row; None if there is none.
    row: EventRow | None
    tiers: Sequence[TierRow]
    sections: Sequence[SectionRow] = ()
    promo_rows: Sequence[PromoRow] = ()
    #: The event as the records up to the watermark say; holds Redis alone has.
    state: EventState
    #: PostgreSQL's rows at the checkpoint, by booking.
    rows: Mapping[str, Row]
    #: Tickets and lines without a booking: (booking, tier_no, what).
    orphans: Sequence[tuple[str, int, str]]
    #: Scans that a ticket's row remembers and that have no row of their own: (ticket, scan).
    lost_scans: Sequence[tuple[str, str]] = ()
    #: Whether `events` in Redis names it, and `cancelling`; and when `due` says to look at it.
    is_listed: bool
    is_cancelling: bool = False
    due_ms: float | None = None
    #: Live holds as the journal had made them up to that place; None where that is not known.
    known_holds: Mapping[str, Hold] | None = None
    known_place: tuple[int, int] = (0, 0)
    #: Last record that Redis had made when the scans were over.
    seq_after: int

    @property
    def published(self) -> Published | None:
        """What is published by the records up to the watermark."""
        return self.state.published

    @property
    def expected(self) -> Mapping[str, Booking]:
        """Bookings as the records up to the watermark say."""
        return self.state.bookings

    @property
    def live_holds(self) -> dict[str, Hold]:
        """The holds that were live at the watermark."""
        return {key: hold for key, hold in self.holds.items() if self.was_live(hold)}

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

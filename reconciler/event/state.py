"""
An event as its records leave it: the one fold of the journal that all stores are held against.

`check` leads the rows of PostgreSQL from the checkpoint to the watermark with it, a repair makes
bookings of their records, a rebuild the sale and its holds. It may begin anywhere: what is about
something older than its beginning is passed over. Who counts beside it, and why, stands in
docs/decisions/0015.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

import msgspec

from engine.records import (
    Amended,
    Blocked,
    Booked,
    Cancelled,
    CapacitySet,
    CheckedIn,
    CheckInUndone,
    Closed,
    Confirmed,
    EventCancelled,
    Expired,
    Extended,
    Held,
    ItemCancelled,
    Joined,
    Left,
    Lost,
    Offered,
    Published,
    Record,
    Released,
    Reopened,
    SaleChange,
    ScanRefused,
    Stalled,
    TicketChange,
    Transferred,
    Unblocked,
    amended,
    decode,
)
from engine.values import CANCELLED, CONFIRMED, Booking, Hold, Ticket, WaitEntry, items_text
from store.audit import BatchRow
from store.waitlist import change_of

#: Kinds of records that lead a sale, and holds.
SALE_KINDS = ("published", "capacity_set", "closed", "reopened", "amended", "event_cancelled")
HOLD_KINDS = ("held", "offered", "extended", "released", "expired", "confirmed")

#: Records that make a hold, or lead one on.
OfHold = Held | Offered | Extended | Released | Expired | Confirmed

_ENDS: dict[type[Record], str] = {Released: "released", Expired: "expired", Confirmed: "confirmed"}
_TICKETS: dict[type[Record], str] = {
    CheckedIn: "checked_in",
    CheckInUndone: "undone",
    Transferred: "valid",
}
#: Characters of a record before its JSON.
_CHECK_CHARS = 8


class Placed(NamedTuple):
    """A record at its place."""

    epoch: int
    seq: int
    record: Record


class Sale(NamedTuple):
    """What is sold, as the records of its publishing and of later changes say."""

    #: As if it had been published so: with the changes made since.
    published: Published
    epoch: int
    seq: int
    #: Place and time of its last change.
    changed: tuple[int, int, int] | None = None
    cancelled_at_ms: int | None = None
    #: Its organizer has closed it, and not opened it again.
    is_closed: bool = False

    @property
    def status(self) -> str:
        """What the event's row says of it."""
        if self.cancelled_at_ms is not None:
            return "cancelled"
        return "closed" if self.is_closed else "published"


@dataclass(slots=True)
class EventState:
    """One event."""

    sale: Sale | None = None
    bookings: dict[str, Booking] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    #: When each hold that is not live any more ended.
    ended_at_ms: dict[str, int] = field(default_factory=dict)
    entries: dict[str, WaitEntry] = field(default_factory=dict)
    #: Tickets that were ever changed.
    tickets: dict[str, Ticket] = field(default_factory=dict)
    #: Blocked seats, with their tiers.
    blocked: dict[str, int] = field(default_factory=dict)

    @property
    def published(self) -> Published | None:
        """What is published; None if nothing is."""
        return None if self.sale is None else self.sale.published

    def follow(self, epoch: int, seq: int, record: Record) -> None:
        """Take the event's next record."""
        match record:
            case Published():
                self.sale = Sale(record, epoch, seq)
            case CapacitySet() | Closed() | Reopened() | Amended() | EventCancelled():
                self._change_sale(epoch, seq, record)
            case Booked():
                self._book(epoch, seq, record)
            case Cancelled() | ItemCancelled():
                self._cut(epoch, seq, record)
            case Confirmed():
                self._book(epoch, seq, record)
                self._lead_hold(epoch, seq, record)
                lead_entry(self.entries, epoch, seq, record)
            case Held() | Offered() | Extended() | Released() | Expired():
                self._lead_hold(epoch, seq, record)
                lead_entry(self.entries, epoch, seq, record)
            case Joined() | Stalled() | Left():
                lead_entry(self.entries, epoch, seq, record)
            case Blocked():
                for group in record.seats:
                    self.blocked |= dict.fromkeys(group.seat_ids, group.tier_no)
            case Unblocked():
                for group in record.seats:
                    for seat_id in group.seat_ids:
                        self.blocked.pop(seat_id, None)
            case CheckedIn() | ScanRefused() | CheckInUndone() | Transferred():
                self._change_ticket(epoch, seq, record)
            case Lost():
                pass  # Of it nobody knows.
            case _:
                assert_never(record)

    def _change_sale(self, epoch: int, seq: int, record: SaleChange) -> None:
        sale = self.sale
        if sale is None:
            return
        if isinstance(record, CapacitySet):
            capacities = {tier.tier_no: tier.capacity for tier in record.tiers}
            tiers = [
                msgspec.structs.replace(tier, capacity=capacities.get(tier.tier_no, tier.capacity))
                for tier in sale.published.tiers
            ]
            rules = sale.published.rules
            if record.pools:
                rules = msgspec.structs.replace(rules, pools=record.pools)
            published = msgspec.structs.replace(sale.published, tiers=tiers, rules=rules)
        elif isinstance(record, Amended):
            published = amended(sale.published, record)
        else:
            published = msgspec.structs.replace(sale.published, closes_at_ms=record.closes_at_ms)
        is_over = isinstance(record, EventCancelled)
        self.sale = sale._replace(
            published=published,
            changed=(epoch, seq, record.at_ms),
            cancelled_at_ms=record.at_ms if is_over else sale.cancelled_at_ms,
            is_closed=isinstance(record, Closed) or (sale.is_closed and not opens_again(record)),
        )

    def _book(self, epoch: int, seq: int, record: Booked | Confirmed) -> None:
        self.bookings[record.booking_id] = Booking(
            CONFIRMED,
            1,
            epoch,
            seq,
            record.at_ms,
            record.user_id,
            record.fingerprint,
            items_text(record.items),
        )

    def _cut(self, epoch: int, seq: int, record: Cancelled | ItemCancelled) -> None:
        booking = self.bookings.get(record.booking_id)
        if booking is None:
            return
        if isinstance(record, ItemCancelled):
            booking = booking._replace(
                version=record.booking_version, items=items_text(record.left), cuts=record.cuts
            )
        else:
            booking = booking._replace(
                status=CANCELLED,
                version=booking.version + 1,
                cancelled_at_ms=record.at_ms,
                cancel_epoch=epoch,
                cancel_seq=seq,
            )
        self.bookings[record.booking_id] = booking

    def _lead_hold(self, epoch: int, seq: int, record: OfHold) -> None:
        lead_hold(self.holds, epoch, seq, record)
        if not isinstance(record, Held | Offered | Extended) and record.hold_id in self.holds:
            self.ended_at_ms[record.hold_id] = record.at_ms

    def _change_ticket(self, epoch: int, seq: int, record: TicketChange) -> None:
        if isinstance(record, ScanRefused):
            if ticket := self.tickets.get(record.ticket_id):
                self.tickets[record.ticket_id] = ticket._replace(scans=record.scans)
            return
        self.tickets[record.ticket_id] = Ticket(
            _TICKETS[type(record)],
            record.ticket_version,
            record.holder_id,
            record.at_ms,
            record.gate,
            record.by,
            epoch,
            seq,
            record.scans,
        )


def opens_again(record: SaleChange) -> bool:
    """Tell whether a change lets a sale go on that was closed."""
    return isinstance(record, Reopened) or (isinstance(record, Amended) and record.closes_at_ms > 0)


def lead_hold(holds: dict[str, Hold], epoch: int, seq: int, record: OfHold) -> None:
    """Lead the hold that a record is about, if it is one of *holds* or a new one."""
    if isinstance(record, Held | Offered):
        detail = msgspec.json.encode(record.detail) if isinstance(record, Held) else b"{}"
        holds[record.hold_id] = Hold(
            "held",
            1,
            epoch,
            seq,
            record.at_ms,
            record.user_id,
            record.fingerprint,
            tuple(record.items),
            record.expires_at_ms,
            epoch,
            seq,
            detail,
        )
        return
    hold = holds.get(record.hold_id)
    if hold is None:
        return
    hold = hold._replace(version=hold.version + 1, changed_epoch=epoch, changed_seq=seq)
    if isinstance(record, Extended):
        hold = hold._replace(expires_at_ms=record.expires_at_ms)
    else:
        hold = hold._replace(status=_ENDS[type(record)])
    holds[record.hold_id] = hold


def lead_entry(entries: dict[str, WaitEntry], epoch: int, seq: int, record: Record) -> None:
    """Lead the waitlist entry that a record is about, if it is one of *entries* or a new one."""
    if isinstance(record, Joined):
        at_ms = record.at_ms
        entries[record.entry_id] = WaitEntry(
            "waiting",
            1,
            epoch,
            seq,
            at_ms,
            record.user_id,
            record.fingerprint,
            record.tier_no,
            record.quantity,
            record.join_no,
            0,
            epoch,
            seq,
            at_ms,
        )
        return
    change = change_of(record)
    entry = None if change is None else entries.get(change.entry_id)
    if change is not None and entry is not None:
        entries[change.entry_id] = entry._replace(
            status=change.status or entry.status,
            version=change.version or entry.version,
            stalled_at_ms=record.at_ms if isinstance(record, Stalled) else entry.stalled_at_ms,
            changed_epoch=epoch,
            changed_seq=seq,
            changed_at_ms=record.at_ms,
        )


def records_of(batch: BatchRow, kinds: tuple[str, ...]) -> Iterator[Placed]:
    """
    Yield those records of a batch that are of some kinds; others are not decoded.

    Raises:
        CorruptRecord: one of them is damaged.
    """
    heads = tuple(f'{{"kind":"{kind}"' for kind in kinds)
    for seq, line in enumerate(batch.records.split("\n"), start=batch.first_seq):
        if line.startswith(heads, _CHECK_CHARS):
            yield Placed(batch.epoch, seq, decode(line.encode()))

"""
What the ledger can take of redo records, one after the other.

Part of `store.redo`. A record is judged by what the ledger has and by what was taken before it:
what it needs must be there, what it takes must be free. What a record says of something that is
over is known. That something is over of which nobody has told that it began is taken: whoever
tells of that later, having stood still, must not bring it back.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg

from engine.records import (
    Blocked,
    Booked,
    Cancelled,
    Confirmed,
    EventCancelled,
    Expired,
    Extended,
    Held,
    ItemCancelled,
    Joined,
    Left,
    Offered,
    Published,
    Record,
    Released,
    SaleChange,
    Stalled,
    TicketChange,
    Transferred,
    Unblocked,
)
from store.redo_claims import Claims, OfHold, Waits
from store.redo_sales import BookingSoFar, Sales
from store.redo_tickets import Tickets
from store.sql import moment


@dataclass(slots=True)
class Judge:
    """Says of each record, in order, whether the ledger can take it; remembers what it took."""

    _sales: Sales = field(default_factory=Sales)
    _claims: Claims = field(default_factory=Claims)
    _tickets: Tickets = field(default_factory=Tickets)

    @classmethod
    async def prepare(
        cls,
        connection: asyncpg.Connection,
        shard: int,
        records: Sequence[Record],
        *,
        hold_life_max_ms: int,
    ) -> Judge:
        """Read what the records are judged by."""
        judge = cls()
        await judge._sales.read(connection, records)
        await judge._claims.read(connection, shard, records, hold_life_max_ms=hold_life_max_ms)
        await judge._tickets.read(connection, records)
        return judge

    def is_known(self, record: Record) -> bool:
        """Tell whether the ledger has what a record says already, or it owes nobody anything."""
        match record:
            case Booked() | Confirmed():
                return self._sales.knows_booking(record)
            case Cancelled() | ItemCancelled():
                return self._sales.knows_end(record)
            case Held():
                return self._claims.knows_hold(record)
            case Released() | Expired():
                return self._is_draft(record) or self._claims.is_over(record)
            case Joined():
                return self._claims.knows_joining(record)
            case Left():
                return self._is_draft(record) or self._claims.has_left(record)
            case Offered() | Stalled():
                return True  # Nobody was answered with it; who waits is offered places anew.
            case Blocked() | Unblocked():
                return self._sales.knows_shift(record)
            case EventCancelled():
                return self._sales.events.get(record.event_id) == "cancelled"
        return isinstance(record, TicketChange) and self._tickets.knows(record)

    def stands_before(self, record: Record, place: tuple[int, int]) -> bool:
        """
        Tell whether a record's place is before that of what it changes.

        A worker that did not hear of a new reign went on in the old one, at a home that was not
        fenced: it is told later than it stands, and belongs behind what it was told after.
        """
        changed = self._changed_by(record)
        return changed is not None and changed.place > place

    def _is_made_since(self, record: Record) -> bool:
        """Tell whether what a record changes was made after it, by the clock."""
        changed = self._changed_by(record)
        made_at = None if changed is None else changed.made_at
        return made_at is not None and made_at > moment(record.at_ms)

    def _changed_by(self, record: Record) -> BookingSoFar | Waits | None:
        """Return the booking or the entry that a record changes."""
        if isinstance(record, Left):
            return self._claims.entry(record.entry_id)
        if isinstance(record, Cancelled | ItemCancelled | TicketChange):
            return self._sales.bookings.get(record.booking_id)
        return None

    def refuse(self, record: Record | str) -> str:
        """Say why the ledger cannot take a record; empty if it can, and then it has taken it."""
        if isinstance(record, str):
            return record
        if isinstance(record, Published):
            return self._sales.publish(record)
        if isinstance(record, Booked | Confirmed):
            reason = self._sales.book(record)
            if isinstance(record, Confirmed) and not reason:
                self._claims.lead(record)
            return reason
        if isinstance(record, Cancelled | ItemCancelled):
            reason = self._sales.end(record)
            if isinstance(record, ItemCancelled) and not reason:
                self._tickets.give_back(record)
            return reason
        if self._is_draft(record):
            return "the event is not on sale"
        return self._refuse_other(record)

    def _is_draft(self, record: Record) -> bool:
        """Tell whether the event is not on sale: nothing can have been taken of it."""
        return self._sales.events.get(record.event_id, "draft") == "draft"

    def _refuse_other(self, record: Record) -> str:
        """Judge what is about an event on sale, and neither makes nor ends a booking."""
        if isinstance(record, OfHold):
            return self._claims.claim(record)
        if isinstance(record, Joined):
            if (record.event_id, record.tier_no) not in self._sales.left:
                return f"tier {record.tier_no} of the event is not on sale"
            return self._claims.join(record)
        if isinstance(record, Left):
            return self._claims.leave(record)
        if isinstance(record, TicketChange):
            return self._tickets.change(record, self._sales.bookings.get(record.booking_id))
        if isinstance(record, Blocked | Unblocked):
            return self._sales.shift(record)
        if isinstance(record, SaleChange):
            return self._sales.change(record)
        return f"a {type(record).__name__} cannot be merged without what came before it"

    def take_late(self, record: Record, place: tuple[int, int]) -> Record | str:
        """
        Take a record as a new one, behind all others, or say why it cannot be.

        Its place was given up before anybody told of it, and people have been answered since: what
        an organizer or a gate did then may have been overtaken, which people must judge. So may
        the end of a booking or an entry whose key came again after that end was lost.

        Args:
            place: Where it stood.

        Returns:
            The record to write, an empty text if nothing is owed any more, or the reason.
        """
        if self.is_known(record):
            return ""
        if isinstance(record, Held | Extended) and record.expires_at_ms <= time.time() * 1_000:
            return ""
        if isinstance(record, Published | SaleChange | Blocked | Unblocked):
            return "it came too late: the sale may have been changed since"
        if isinstance(record, TicketChange) and not (
            isinstance(record, Transferred) and self._tickets.remembers_alike(record)
        ):
            return "it came too late: the ticket may have been shown since"
        if self.stands_before(record, place) and self._is_made_since(record):
            return "it came too late: its key has made the same again since"
        if isinstance(record, Joined):
            record = self._claims.with_place(record)
        return self.refuse(record) or record

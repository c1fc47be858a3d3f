"""
Every status a script can reply, once.

A status is an expected outcome, hence a value and never an exception. The names are the ones in
the Lua headers; the HTTP table in `api/codes.py` covers each (a test holds both).
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Outcome of one command, as the script spells it."""

    #: The booking exists; this call made it.
    BOOKED = "BOOKED"
    #: The places are set aside by this call.
    HELD = "HELD"
    #: The hold became a booking by this call.
    CONFIRMED = "CONFIRMED"
    #: The hold's deadline was moved.
    EXTENDED = "EXTENDED"
    #: The hold was given back by this call.
    RELEASED = "RELEASED"
    #: Overdue holds were ended.
    SWEPT = "SWEPT"
    #: The booking was cancelled by this call; its places are back.
    CANCELLED = "CANCELLED"
    #: A section's seats were loaded by this call.
    SEATED = "SEATED"
    #: Seats were taken out of sale by this call.
    BLOCKED = "BLOCKED"
    #: Blocked seats were put back on sale by this call.
    UNBLOCKED = "UNBLOCKED"
    #: All seats of an event, as asked.
    SEATS = "SEATS"
    #: What changed in an event's seats, as asked.
    SEATS_CHANGED = "SEATS_CHANGED"
    #: The event's stock was loaded by this call.
    PUBLISHED = "PUBLISHED"
    #: The note of what PostgreSQL has was taken.
    PERSISTED = "PERSISTED"
    #: A mark was written, for `WAIT` to wait for.
    MARKED = "MARKED"
    #: What is left of an event, as asked.
    STOCK = "STOCK"
    #: The person waits for places, by this call.
    JOINED = "JOINED"
    #: The person waits no longer, by this call.
    LEFT = "LEFT"
    #: Some places of the booking were given back by this call; others it keeps.
    ITEM_CANCELLED = "ITEM_CANCELLED"
    #: The ticket's bearer was let in by this call.
    CHECKED_IN = "CHECKED_IN"
    #: The scan was noted by this call: somebody was in on the ticket before it.
    SCAN_REFUSED = "SCAN_REFUSED"
    #: The check-in was taken back by this call.
    CHECK_IN_UNDONE = "CHECK_IN_UNDONE"
    #: The ticket was given to somebody else by this call.
    TRANSFERRED = "TRANSFERRED"
    #: Capacities were changed by this call.
    CAPACITY_SET = "CAPACITY_SET"
    #: The sale was ended by this call.
    CLOSED = "CLOSED"
    #: The sale's end was moved by this call.
    REOPENED = "REOPENED"
    #: The sale was changed by this call.
    AMENDED = "AMENDED"
    #: A step in giving back a cancelled event's places was taken.
    EMPTIED = "EMPTIED"
    #: An earlier call with the same id did it; the reply is that call's.
    REPLAYED = "REPLAYED"
    #: The idempotency key was used before, with another request.
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    #: The event has lost a key in Redis, and is shut until it is rebuilt.
    EVENT_DAMAGED = "EVENT_DAMAGED"
    #: The event is not loaded: never published, or closed and unloaded.
    NOT_ON_SALE = "NOT_ON_SALE"
    #: No such booking, or not this user's.
    NOT_FOUND = "NOT_FOUND"
    #: The hold's deadline has passed and its places are gone.
    HOLD_EXPIRED = "HOLD_EXPIRED"
    #: The hold was given back by its owner.
    HOLD_RELEASED = "HOLD_RELEASED"
    #: The hold is a booking already.
    HOLD_CONFIRMED = "HOLD_CONFIRMED"
    #: The hold has the longest life it can have.
    EXTENSION_LIMIT = "EXTENSION_LIMIT"
    #: The event was cancelled by its organizer, which is final.
    EVENT_CANCELLED = "EVENT_CANCELLED"
    #: The ticket's booking, or its place, was cancelled.
    TICKET_CANCELLED = "TICKET_CANCELLED"
    #: The ticket was given to somebody else; this code is of the time before.
    TICKET_SUPERSEDED = "TICKET_SUPERSEDED"
    #: Somebody is in on the ticket.
    ALREADY_CHECKED_IN = "ALREADY_CHECKED_IN"
    #: Nobody is in on the ticket, so there is nothing to undo.
    NOT_CHECKED_IN = "NOT_CHECKED_IN"
    #: The booking has changed since the caller looked.
    VERSION_CHANGED = "VERSION_CHANGED"
    #: The booking has not so many places of that tier, or no such ticket.
    NOT_IN_BOOKING = "NOT_IN_BOOKING"
    #: Some seats of a tier are to be given back, and nobody says which.
    SEATS_NOT_NAMED = "SEATS_NOT_NAMED"
    #: The booking would keep fewer places of a tier than an order of it has.
    BELOW_MINIMUM = "BELOW_MINIMUM"
    #: The ticket was given away and belongs to its holder.
    TICKET_TRANSFERRED = "TICKET_TRANSFERRED"
    #: The event's tickets cannot be given away.
    NO_TRANSFERS = "NO_TRANSFERS"
    #: It takes a later version of records than the shard writes.
    NOT_UPGRADED = "NOT_UPGRADED"
    #: More places are taken or blocked than the capacity asked for.
    CAPACITY_BELOW_TAKEN = "CAPACITY_BELOW_TAKEN"
    #: The sale is another than whoever would change it takes it for.
    SALE_DIFFERS = "SALE_DIFFERS"
    #: The event has no tier of that number.
    UNKNOWN_TIER = "UNKNOWN_TIER"
    #: The event has no such seat in that tier.
    UNKNOWN_SEAT = "UNKNOWN_SEAT"
    #: The seat is held, sold or blocked.
    SEAT_TAKEN = "SEAT_TAKEN"
    #: Enough seats are left, but not side by side.
    NOT_TOGETHER = "NOT_TOGETHER"
    #: The sale opens later, by Redis time.
    SALE_NOT_OPEN = "SALE_NOT_OPEN"
    #: The sale has ended, by Redis time or by the organizer.
    SALE_CLOSED = "SALE_CLOSED"
    #: The event, or the tier's part of it, is over, and nothing is sold any more.
    EVENT_ENDED = "EVENT_ENDED"
    #: The places of a hold that is over cost something else now.
    PRICE_CHANGED = "PRICE_CHANGED"
    #: Places of a tier with seats were asked for by their number, where seats are needed.
    TIER_HAS_SEATS = "TIER_HAS_SEATS"
    #: The person has tried to take places too often lately.
    RATE_LIMITED = "RATE_LIMITED"
    #: The person, or the address, has as many holds open as may be.
    TOO_MANY_HOLDS = "TOO_MANY_HOLDS"
    #: Too many records wait for PostgreSQL; selling on would risk memory.
    BACKPRESSURE = "BACKPRESSURE"
    #: More than one order, or one person, may have.
    LIMIT_REACHED = "LIMIT_REACHED"
    #: Fewer places than asked are left, but held ones may return.
    ALL_HELD = "ALL_HELD"
    #: Places enough are free, but for those who wait.
    KEPT_FOR_WAITLIST = "KEPT_FOR_WAITLIST"
    #: Fewer places than asked are left, and none is held.
    SOLD_OUT = "SOLD_OUT"
    #: The event has no such promo code, or it is not for these tiers.
    PROMO_UNKNOWN = "PROMO_UNKNOWN"
    #: The promo code is used as often as may be.
    PROMO_EXHAUSTED = "PROMO_EXHAUSTED"
    #: The person waits for this tier already, or has an offer.
    ALREADY_WAITING = "ALREADY_WAITING"
    #: There are places, and nobody waits: no need to.
    PLACES_AVAILABLE = "PLACES_AVAILABLE"
    #: The tier can never have so many places free.
    PARTY_TOO_LARGE = "PARTY_TOO_LARGE"
    #: As many wait for the tier as may.
    WAITLIST_FULL = "WAITLIST_FULL"

    @property
    def is_transient(self) -> bool:
        """Tell whether the same request may succeed later without anybody changing the event."""
        return self in _TRANSIENT


_TRANSIENT = frozenset(
    {
        Status.SALE_NOT_OPEN,
        Status.BACKPRESSURE,
        Status.EVENT_DAMAGED,
        Status.ALL_HELD,
        Status.WAITLIST_FULL,
        Status.RATE_LIMITED,
        Status.TOO_MANY_HOLDS,
    }
)

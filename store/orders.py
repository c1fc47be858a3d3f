"""Orders as an event's box office sees them: bookings with who made them, notes, those who wait."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from store.bookings import Booking
from store.sql import Executor, query

#: Notes that one order may have.
NOTES_MAX = 200
#: Scans of one order's tickets that are told.
SCANS_MAX = 500


class Order(NamedTuple):
    """A booking, and who made it; without a name if that is no person, or one who is forgotten."""

    booking: Booking
    fingerprint: str
    #: What it was made with and lost since (`engine.cuts`).
    cuts: str | None
    name: str | None
    email: str | None


class Note(NamedTuple):
    """A note on an order."""

    id: str
    booking_id: str
    written_by: str
    written_at: dt.datetime
    #: Empty once it is forgotten.
    text: str
    #: `done` or `waived`, of a note that settles what was due at a version of the booking.
    refund: str | None = None
    refund_minor: int | None = None
    refund_version: int | None = None


class Scan(NamedTuple):
    """What a gate did with a ticket of an order."""

    ticket_id: str
    what: str
    gate: str
    scanned_by: str
    at: dt.datetime


class Waiting(NamedTuple):
    """An entry of a waitlist that is not over."""

    id: str
    user_id: str
    tier_no: int
    quantity: int
    status: str
    join_no: str
    joined_at: dt.datetime
    offered_at: dt.datetime | None
    name: str | None
    email: str | None
    #: How many wait up to it, and for how many places; it is one of them if it waits.
    position: int
    places: int
    #: Whether its person has an offer of the event.
    has_offer: bool


async def of_event(
    database: Executor,
    event_id: str,
    *,
    after_id: str,
    limit: int,
    status: str | None = None,
    text: str | None = None,
    sees_people: bool = True,
) -> list[Order]:
    """
    Return a page of an event's orders by id.

    Cost: a search looks at every order of the event until the page is full.

    Args:
        text: How an id begins, an address, or a word of a name.

        sees_people: Whether names and addresses are looked at.
    """
    rows = await database.fetch(
        query("orders_of_event"), event_id, after_id, limit, status, text, sees_people
    )
    return [_order(row) for row in rows]


async def one(database: Executor, event_id: str, booking_id: str) -> Order | None:
    """Find an order of an event."""
    row = await database.fetchrow(query("order_of_event"), event_id, booking_id)
    return None if row is None else _order(row)


async def scans_of(database: Executor, event_id: str, ticket_ids: Sequence[str]) -> list[Scan]:
    """Return what gates did with some tickets of an event, in order."""
    rows = await database.fetch(query("scans_of_tickets"), event_id, list(ticket_ids), SCANS_MAX)
    return [Scan(**row) for row in rows]


async def notes_of(
    database: Executor, event_id: str, booking_ids: Sequence[str], *, refunds_alone: bool = False
) -> list[Note]:
    """Return the notes on some orders of an event, the oldest first."""
    rows = await database.fetch(query("order_notes_of"), event_id, list(booking_ids), refunds_alone)
    return [Note(**row) for row in rows]


async def add_note(
    database: Executor,
    organizer_id: str,
    booking: Booking,
    *,
    own_id: str,
    written_by: str,
    text: str,
    refund: tuple[str, int] | None = None,
) -> Note | None:
    """
    Add a note on an order; None if it is there, or there are as many as there may be.

    Args:
        refund: `done` or `waived`, and how much, of what is due at the booking's version.
    """
    state, amount_minor = refund or (None, None)
    row = await database.fetchrow(
        query("insert_order_note"),
        own_id,
        organizer_id,
        booking.event_id,
        booking.id,
        booking.user_id,
        written_by,
        text,
        state,
        amount_minor,
        booking.version if refund else None,
        NOTES_MAX,
    )
    return None if row is None else Note(**row)


async def waiting(
    database: Executor, event_id: str, *, after: tuple[int, str], limit: int
) -> list[Waiting]:
    """
    Return a page of those who wait at an event, or have an offer, in the order of the lists.

    Cost: reads all who wait at the event.

    Args:
        after: Tier and `join_no` that it begins after.
    """
    rows = await database.fetch(query("waiting_at_event"), event_id, *after, limit)
    return [Waiting(**row) for row in rows]


def _order(row: asyncpg.Record) -> Order:
    columns = dict(row)
    extra = [columns.pop(name) for name in Order._fields[1:]]
    return Order(Booking(**columns), *extra)

"""Tickets as the ledger has them; written by `store.ledger` alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import asyncpg

from engine.cuts import tickets_gone
from store.sql import Executor, query

#: Of one person and event, that are looked at to know whether they have a ticket.
BOOKINGS_MAX = 100


class Ticket(NamedTuple):
    """A ticket; `status` is valid, checked_in, undone (which is valid) or cancelled."""

    event_id: str
    id: str
    booking_id: str
    #: Within its booking, from 1.
    number: int
    tier_no: int
    status: str
    version: int
    #: Who booked it.
    owner_id: str
    #: Who has it.
    holder_id: str
    changed_at: dt.datetime | None
    gate: str | None
    #: Who changed it last: the giver, or who scanned it.
    changed_by: str | None
    #: Whether somebody came in on it; also if it was cancelled since, with its event.
    was_used: bool
    #: None where its tier has no seats.
    seat_id: str | None

    @property
    def is_good(self) -> bool:
        """Whether it lets somebody in who is not in yet."""
        return self.status in {"valid", "undone"}


async def of_bookings(
    database: Executor, bookings: Iterable[tuple[str, str]]
) -> dict[str, list[Ticket]]:
    """Return the tickets of bookings, given as (event, booking), by booking, in their order."""
    pairs = list(bookings)
    rows = await database.fetch(
        query("ticket_rows"), [event for event, _ in pairs], [own for _, own in pairs]
    )
    found: dict[str, list[asyncpg.Record]] = {}
    for row in rows:
        found.setdefault(row["booking_id"], []).append(row)
    return {booking_id: _tickets(own) for booking_id, own in found.items()}


async def given_to(
    database: Executor, user_id: str, *, before: tuple[dt.datetime, str], limit: int
) -> list[Ticket]:
    """Return a page of the tickets that others gave to a person, the latest changed first."""
    rows = await database.fetch(query("tickets_held_by"), user_id, *before, limit)
    pairs = {(row["event_id"], row["booking_id"]) for row in rows}
    found = await of_bookings(database, pairs)
    by_id = {ticket.id: ticket for own in found.values() for ticket in own}
    # Between the two statements a ticket may have been given on.
    return [by_id[row["id"]] for row in rows if row["id"] in by_id]


async def of_event(
    database: Executor, event_id: str, *, after_id: str, limit: int, changed_alone: bool
) -> list[Ticket]:
    """Return a page of an event's tickets by id; or of those that something became of, or may."""
    rows = await database.fetch(query("tickets_of_event"), event_id, after_id, limit, changed_alone)
    return [_ticket(row, _number(row), tickets_gone(row["cuts"])) for row in rows]


async def is_holder(database: Executor, event_id: str, user_id: str) -> bool:
    """Tell whether a person has a ticket of an event that lets somebody in who is not in yet."""
    found = await database.fetch(
        query("bookings_with_tickets_for"), event_id, user_id, BOOKINGS_MAX
    )
    by_booking = await of_bookings(database, [(event_id, row["id"]) for row in found])
    held = [one for own in by_booking.values() for one in own if one.holder_id == user_id]
    return any(one.is_good for one in held)


def _tickets(rows: Sequence[asyncpg.Record]) -> list[Ticket]:
    """Make the tickets of one booking; those that its cuts took are cancelled."""
    gone = tickets_gone(rows[0]["cuts"])
    numbered = sorted((_number(row), row) for row in rows)
    return [_ticket(row, number, gone) for number, row in numbered]


def _number(row: asyncpg.Record) -> int:
    return int(row["id"].rpartition("_")[2])


def _ticket(row: asyncpg.Record, number: int, gone: Collection[int]) -> Ticket:
    lives = row["booking_status"] == "confirmed" and number not in gone
    return Ticket(
        event_id=row["event_id"],
        id=row["id"],
        booking_id=row["booking_id"],
        number=number,
        tier_no=row["tier_no"],
        status=row["status"] if lives else "cancelled",
        version=row["version"],
        owner_id=row["owner_id"],
        holder_id=row["holder_id"] or row["owner_id"],
        changed_at=row["changed_at"],
        gate=row["gate"],
        changed_by=row["changed_by"],
        was_used=row["status"] == "checked_in",
        seat_id=row["seat_id"],
    )

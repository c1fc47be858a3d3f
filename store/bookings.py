"""Bookings as the ledger has them; written by `store.ledger` alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from engine.ids import event_id_range
from store.sql import Executor, query


class Booking(NamedTuple):
    """A booking; `status` is confirmed or cancelled, `metadata` is JSON text."""

    id: str
    event_id: str
    user_id: str
    status: str
    version: int
    total_minor: int
    shard: int
    epoch: int
    seq: int
    created_at: dt.datetime
    cancelled_at: dt.datetime | None
    special_requests: str | None
    metadata: str | None


class Item(NamedTuple):
    """One line of a booking."""

    event_id: str
    booking_id: str
    line: int
    tier_no: int
    quantity: int
    unit_price_minor: int
    seat_ids: tuple[str, ...]


async def by_id(database: Executor, booking_id: str) -> Booking | None:
    """Find a booking by its id."""
    row = await database.fetchrow(query("booking_by_id"), booking_id, *event_id_range(booking_id))
    return None if row is None else Booking(**row)


async def of_user(
    database: Executor, user_id: str, *, before: tuple[dt.datetime, str], limit: int
) -> list[Booking]:
    """Return a page of a user's bookings, newest first, continuing before (created_at, id)."""
    rows = await database.fetch(query("bookings_of_user"), user_id, *before, limit)
    return [Booking(**row) for row in rows]


class Coming(NamedTuple):
    """An event that somebody will go to, and by which booking or ticket."""

    event_id: str
    #: Of a booking of one's own, or of a ticket that one was given.
    id: str
    name: str
    starts_at: dt.datetime
    timezone: str
    venue: str


async def next_of_user(database: Executor, user_id: str) -> Coming | None:
    """Return which event a user goes to next, by what is booked or was given."""
    row = await database.fetchrow(query("next_of_user"), user_id)
    return None if row is None else Coming(*row)


async def of_event(
    database: Executor, event_id: str, *, after_id: str, limit: int
) -> list[Booking]:
    """Return a page of an event's bookings by id."""
    rows = await database.fetch(query("bookings_of_event"), event_id, after_id, limit)
    return [Booking(**row) for row in rows]


async def details(database: Executor, events: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return what buyers wrote beside some bookings, given with their events; as text and JSON."""
    rows = await database.fetch(query("booking_details"), list(events.values()), list(events))
    return {row["id"]: (row["special_requests"], row["metadata"]) for row in rows}


async def items_of(database: Executor, bookings: Iterable[Booking]) -> dict[str, list[Item]]:
    """Return the items of some bookings, by booking id, in order of their lines."""
    pairs = [(booking.event_id, booking.id) for booking in bookings]
    rows = await database.fetch(
        query("items_of_bookings"), [event for event, _ in pairs], [own for _, own in pairs]
    )
    found: dict[str, list[Item]] = {}
    for row in rows:
        seat_ids = tuple(row["seat_ids"].split("+")) if row["seat_ids"] else ()
        item = Item(**{**row, "seat_ids": seat_ids})
        found.setdefault(row["booking_id"], []).append(item)
    return found

"""
Sections of seats, as rows, and what the journal's records do to the rows of seats.

The ledger writer calls `write`; everything else reads or is the organizer's draft.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from engine.ids import ORDER_PLACES_MAX, ticket_id
from engine.records import Blocked, Cancelled, Unblocked
from store.sql import Executor, moment, query


class Section(NamedTuple):
    """A section; `row_seats` and `kinds` are as Redis has them, `rows` is JSON text."""

    event_id: str
    section_no: int
    tier_no: int
    name: str
    row_seats: str
    kinds: str
    rows: str


async def add(
    connection: asyncpg.Connection | PoolConnectionProxy, event_id: str, sections: Sequence[Section]
) -> None:
    """Add an event's sections; within the transaction that adds the event."""
    if sections:
        await connection.execute(
            query("insert_sections"),
            event_id,
            *(list(column) for column in list(zip(*sections, strict=True))[1:]),
        )


async def of_event(database: Executor, event_id: str) -> list[Section]:
    """Return an event's sections, in order."""
    rows = await database.fetch(query("sections_of_events"), [event_id])
    return [Section(**row) for row in rows]


async def named(
    database: Executor, places: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], Section]:
    """Return sections by event and number; those that are not there are left out."""
    pairs = list(places)
    if not pairs:
        return {}
    rows = await database.fetch(
        query("sections_by_number"), [event for event, _ in pairs], [number for _, number in pairs]
    )
    return {(row["event_id"], row["section_no"]): Section(**row) for row in rows}


async def tiers_of_sections(database: Executor, event_id: str) -> dict[int, int]:
    """Return the tier of each section of an event."""
    rows = await database.fetch(query("section_tiers"), event_id)
    return {row["section_no"]: row["tier_no"] for row in rows}


async def end_tickets(connection: asyncpg.Connection, ended: Iterable[Cancelled]) -> None:
    """Give up the seats of cancelled bookings, of those that have any."""
    seated = [one for one in ended if any(item.seat_ids for item in one.items)]
    # Which of its tickets were given up before, the record does not say.
    numbers = range(1, ORDER_PLACES_MAX + 1)
    await give_up(
        connection,
        [(one.event_id, ticket_id(one.booking_id, number)) for one in seated for number in numbers],
    )


async def give_up(connection: asyncpg.Connection, tickets: Sequence[tuple[str, str]]) -> None:
    """Give up the seats of tickets, given as (event, ticket); of those that have one."""
    if tickets:
        await connection.execute(
            query("end_tickets"), *(list(column) for column in zip(*tickets, strict=True))
        )


async def write_blocked(
    connection: asyncpg.Connection, records: Sequence[Blocked | Unblocked]
) -> None:
    """Bring the rows of blocked seats to what the last record of each seat says."""
    last: dict[tuple[str, str], tuple[int, Blocked | Unblocked]] = {}
    for record in records:
        for group in record.seats:
            for seat in group.seat_ids:
                last[record.event_id, seat] = (group.tier_no, record)
    free = [seat for seat, (_, record) in last.items() if isinstance(record, Unblocked)]
    blocked = [
        (*seat, tier_no, moment(record.at_ms))
        for seat, (tier_no, record) in last.items()
        if isinstance(record, Blocked)
    ]
    if free:
        columns = [list(column) for column in zip(*free, strict=True)]
        await connection.execute(query("delete_blocked_seats"), *columns)
    if blocked:
        rows = [list(column) for column in zip(*blocked, strict=True)]
        await connection.execute(query("insert_blocked_seats"), *rows)

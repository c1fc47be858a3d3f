"""
All that Redis has of one event, as values: read once, of a shard that is shut or quiet.

Beside `reconciler.event.snapshot`, which reads while sales run and therefore has a watermark.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from engine import keys
from engine.values import (
    Booking,
    Hold,
    Ticket,
    WaitEntry,
    parse_booking,
    parse_entry,
    parse_hold,
    parse_ticket,
)
from reconciler.event.snapshot import read_texts, scan_hash
from reconciler.repair.derive import EventRemains


async def read_remains(redis: Redis, shard: int, event_id: str) -> EventRemains:
    """
    Read an event; values of a form that no script writes are left out, `check` names them.

    Memory: O(bookings of the event).
    """
    names = keys.event(shard, event_id)
    bookings: dict[str, Booking] = {}
    holds: dict[str, Hold] = {}
    entries: dict[str, WaitEntry] = {}
    tickets: dict[str, Ticket] = {}
    readers: tuple[tuple[str, str, Any, dict[str, Any]], ...] = (
        (names.bookings, "bk_", parse_booking, bookings),
        (names.holds, "", parse_hold, holds),
        # Beside the entries stand pointers from persons and holds to them.
        (names.entries, "wl_", parse_entry, entries),
        (names.tickets, "tkt_", parse_ticket, tickets),
    )
    for key, prefix, parse, into in readers:
        async for own_id, value in scan_hash(redis, key):
            if own_id.startswith(prefix):
                try:
                    into[own_id] = parse(value)
                except ValueError:
                    continue
    return EventRemains(
        event_id=event_id,
        stock=await read_texts(redis, names.stock),
        bookings=bookings,
        holds=holds,
        entries=entries,
        tickets=tickets,
        seats=await read_texts(redis, names.seats),
        promos=await read_texts(redis, names.promos),
    )

"""
What PostgreSQL has of some events in the end, as `checkers.py` holds it against a history.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import asyncpg

from loadtests.chaos.checkers import Booking, Ledger

BOOKINGS = """
SELECT b.id, b.event_id, b.status = 'confirmed' AS is_live, i.tier_no, i.quantity
FROM bookings b LEFT JOIN items i ON i.event_id = b.event_id AND i.booking_id = b.id
WHERE b.event_id = ANY($1::text[])
"""
SEATS = """
SELECT event_id, seat_id, booking_id FROM tickets
WHERE event_id = ANY($1::text[]) AND is_live AND seat_id IS NOT NULL
"""
CAPACITIES = "SELECT event_id, tier_no, capacity FROM tiers WHERE event_id = ANY($1::text[])"


async def read_ledger(database: asyncpg.Connection, event_ids: Sequence[str]) -> Ledger:
    """Read what PostgreSQL has of *event_ids*."""
    rows = await database.fetch(BOOKINGS, event_ids)
    seats = await database.fetch(SEATS, event_ids)
    capacities = await database.fetch(CAPACITIES, event_ids)
    lines: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in rows:
        if row["is_live"] and row["tier_no"] is not None:
            lines[row["id"]].append((row["tier_no"], row["quantity"]))
    return Ledger(
        bookings={row["id"]: Booking(row["is_live"], tuple(lines[row["id"]])) for row in rows},
        event_of={row["id"]: row["event_id"] for row in rows},
        seats=[tuple(row) for row in seats],
        capacities={(row["event_id"], row["tier_no"]): row["capacity"] for row in capacities},
    )

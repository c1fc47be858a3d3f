"""
What the three approaches share: tables of their own, the order, and the checks that need no lock.
"""

from __future__ import annotations

from typing import NamedTuple

import asyncpg
from asyncpg.pool import PoolConnectionProxy

CREATE = """
CREATE SCHEMA IF NOT EXISTS baseline;
CREATE TABLE IF NOT EXISTS baseline.events (
    id         text PRIMARY KEY,
    capacity   integer NOT NULL,
    available  integer NOT NULL CHECK (available >= 0),
    person_max integer NOT NULL,
    version    bigint  NOT NULL DEFAULT 1
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS baseline.bookings (
    id              text PRIMARY KEY,
    event_id        text    NOT NULL REFERENCES baseline.events (id),
    user_id         text    NOT NULL,
    idempotency_key text    NOT NULL,
    quantity        integer NOT NULL CHECK (quantity BETWEEN 1 AND 10),
    created_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, idempotency_key)
);
CREATE INDEX IF NOT EXISTS bookings_of_person ON baseline.bookings (event_id, user_id);
"""
_ADD = """
INSERT INTO baseline.events (id, capacity, available, person_max) VALUES ($1, $2, $2, $3)
"""
_FIND = """
SELECT id FROM baseline.bookings WHERE user_id = $1 AND idempotency_key = $2
"""
_TAKEN = """
SELECT coalesce(sum(quantity), 0)::int FROM baseline.bookings
WHERE event_id = $1 AND user_id = $2
"""
_INSERT = """
INSERT INTO baseline.bookings (id, event_id, user_id, idempotency_key, quantity)
VALUES ($1, $2, $3, $4, $5)
"""
_COUNT = """
SELECT capacity - available AS taken, capacity,
       (SELECT coalesce(sum(quantity), 0)::int FROM baseline.bookings WHERE event_id = $1) AS booked
FROM baseline.events WHERE id = $1
"""


Database = asyncpg.Connection | PoolConnectionProxy


class Order(NamedTuple):
    """What a buyer asks for."""

    id: str
    event_id: str
    user_id: str
    idempotency_key: str
    quantity: int


class Refused(Exception):
    """The order cannot be had; the message is the reason."""


async def add_event(database: Database, event_id: str, *, capacity: int, person_max: int) -> None:
    """Put an event on sale."""
    await database.execute(CREATE)
    await database.execute(_ADD, event_id, capacity, person_max)


async def find(database: Database, order: Order) -> str | None:
    """Return the booking that this key of this user has made already."""
    found: str | None = await database.fetchval(_FIND, order.user_id, order.idempotency_key)
    return found


async def require_limit(database: Database, order: Order, *, person_max: int) -> None:
    """Refuse an order with which the person would have more than is allowed."""
    taken: int = await database.fetchval(_TAKEN, order.event_id, order.user_id)
    if taken + order.quantity > person_max:
        raise Refused("limit_reached")


async def insert(database: Database, order: Order) -> str:
    """Write the booking down; a key that was used meanwhile raises `UniqueViolationError`."""
    await database.execute(
        _INSERT, order.id, order.event_id, order.user_id, order.idempotency_key, order.quantity
    )
    return order.id


async def count(database: Database, event_id: str) -> tuple[int, int, int]:
    """Return places taken by the event's own count, places in bookings, and the capacity."""
    row = await database.fetchrow(_COUNT, event_id)
    assert row is not None, "the event was added before"
    return row["taken"], row["booked"], row["capacity"]

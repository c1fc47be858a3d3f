"""
Approach 3, a row lock: `SELECT ... FOR UPDATE` on the event, count, insert, all in one transaction.
"""

from __future__ import annotations

import asyncpg
from redis.asyncio import Redis

from loadtests.baselines.tables import Order, Refused, find, insert, require_limit

_LOCK = """
SELECT available, person_max FROM baseline.events WHERE id = $1 FOR UPDATE
"""
_TAKE = """
UPDATE baseline.events SET available = available - $2 WHERE id = $1
"""


async def book(pool: asyncpg.Pool, _redis: Redis, order: Order) -> str:
    """
    Book; return the booking's id.

    Raises:
        Refused: sold out, or a limit.
    """
    async with pool.acquire() as database:
        # Before the lock, which is what everybody waits for; the unique key covers the rest.
        if known := await find(database, order):
            return known
        async with database.transaction():
            event = await database.fetchrow(_LOCK, order.event_id)
            if event is None or event["available"] < order.quantity:
                raise Refused("sold_out")
            await require_limit(database, order, person_max=event["person_max"])
            await insert(database, order)
            await database.execute(_TAKE, order.event_id, order.quantity)
            return order.id

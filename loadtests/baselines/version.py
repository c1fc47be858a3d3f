"""
Approach 1, optimistic: read the event with its version, write it back only if nobody was faster.
"""

from __future__ import annotations

import asyncio
import random

import asyncpg
from redis.asyncio import Redis

from loadtests.baselines.tables import Order, Refused, find, insert, require_limit

ATTEMPTS_MAX = 200
#: Longest pause before the first repetition; it doubles up to the most.
PAUSE_S, PAUSE_S_MAX = 0.001, 0.05
_READ = """
SELECT available, person_max, version FROM baseline.events WHERE id = $1
"""
_TAKE = """
UPDATE baseline.events SET available = available - $3, version = version + 1
WHERE id = $1 AND version = $2 AND available >= $3
"""


async def book(pool: asyncpg.Pool, _redis: Redis, order: Order) -> str:
    """
    Book; return the booking's id.

    Raises:
        Refused: sold out, a limit, or too many were faster.
    """
    for attempt in range(ATTEMPTS_MAX):
        async with pool.acquire() as database:
            if known := await find(database, order):
                return known
            event = await database.fetchrow(_READ, order.event_id)
            if event is None or event["available"] < order.quantity:
                raise Refused("sold_out")
            await require_limit(database, order, person_max=event["person_max"])
            async with database.transaction():
                taken = await database.execute(
                    _TAKE, order.event_id, event["version"], order.quantity
                )
                if taken == "UPDATE 1":
                    return await insert(database, order)
        await asyncio.sleep(random.random() * min(PAUSE_S_MAX, PAUSE_S * 2**attempt))
    raise Refused("too_busy")

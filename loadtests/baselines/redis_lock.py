"""
Approach 2, a lock in Redis: `SET NX PX` on the event, then an ordinary transaction.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time

import asyncpg
from redis.asyncio import Redis

from loadtests.baselines.tables import Order, Refused, find, insert, require_limit

LOCK_TTL_MS = 10_000
WAIT_S_MAX = 10.0
#: Pause before the next try; longer ones lose throughput, shorter ones load Redis.
PAUSE_S = 0.002
#: The lock is given back by whoever holds it, not by who was too late.
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
_READ = """
SELECT available, person_max FROM baseline.events WHERE id = $1
"""
_TAKE = """
UPDATE baseline.events SET available = available - $2 WHERE id = $1 AND available >= $2
"""


async def book(pool: asyncpg.Pool, redis: Redis, order: Order) -> str:
    """
    Book; return the booking's id.

    Raises:
        Refused: sold out, a limit, or the lock was not to be had in time.
    """
    lock, token = f"baseline:lock:{order.event_id}", secrets.token_hex(8)
    deadline_s = time.monotonic() + WAIT_S_MAX
    while not await redis.set(lock, token, nx=True, px=LOCK_TTL_MS):
        if time.monotonic() > deadline_s:
            raise Refused("too_busy")
        await asyncio.sleep(PAUSE_S * (0.5 + random.random()))
    try:
        async with pool.acquire() as database:
            if known := await find(database, order):
                return known
            event = await database.fetchrow(_READ, order.event_id)
            if event is None or event["available"] < order.quantity:
                raise Refused("sold_out")
            await require_limit(database, order, person_max=event["person_max"])
            async with database.transaction():
                taken = await database.execute(_TAKE, order.event_id, order.quantity)
                if taken != "UPDATE 1":  # The lock ran out, and PostgreSQL knows better.
                    raise Refused("sold_out")
                return await insert(database, order)
    finally:
        await redis.eval(_RELEASE, 1, lock, token)

"""The seed's three approaches are real: none oversells, each is idempotent and knows limits."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from redis.asyncio import Redis

from engine.ids import new_id
from loadtests.baselines.service import APPROACHES
from loadtests.baselines.tables import Order, Refused, add_event, count

BUYERS = 40
CAPACITY = 25


async def on_sale(database: asyncpg.Pool, *, person_max: int = 10) -> str:
    """Put an event on sale."""
    event_id = new_id("evt")
    async with database.acquire() as connection:
        await add_event(connection, event_id, capacity=CAPACITY, person_max=person_max)
    return event_id


def order(event_id: str, user_id: str, *, key: str = "k", quantity: int = 1) -> Order:
    """Return an order."""
    return Order(new_id("bk"), event_id, user_id, key, quantity)


@pytest.mark.parametrize("approach", APPROACHES)
async def test_races_sell_every_place_once(
    approach: str, database: asyncpg.Pool, redis: Redis
) -> None:
    """Forty buyers race for twenty-five places: exactly twenty-five win (I1)."""
    event_id = await on_sale(database)
    book = APPROACHES[approach]

    async def buy() -> bool:
        wanted = order(event_id, new_id("usr"))
        while True:
            try:
                await book(database, redis, wanted)
            except Refused as refused:
                if str(refused) == "sold_out":
                    return False
                assert str(refused) == "too_busy"  # noqa: PT017  A loaded machine; try again.
            else:
                return True

    won = await asyncio.gather(*(buy() for _ in range(BUYERS)))

    assert sum(won) == CAPACITY
    async with database.acquire() as connection:
        assert await count(connection, event_id) == (CAPACITY, CAPACITY, CAPACITY)


@pytest.mark.parametrize("approach", APPROACHES)
async def test_a_key_makes_one_booking(approach: str, database: asyncpg.Pool, redis: Redis) -> None:
    """The same key gives the first booking again (I6)."""
    event_id = await on_sale(database)
    book = APPROACHES[approach]
    user_id = new_id("usr")
    first = await book(database, redis, order(event_id, user_id))

    assert await book(database, redis, order(event_id, user_id)) == first
    async with database.acquire() as connection:
        assert (await count(connection, event_id))[1] == 1


@pytest.mark.parametrize("approach", APPROACHES)
async def test_a_person_has_a_limit(approach: str, database: asyncpg.Pool, redis: Redis) -> None:
    """What would exceed the limit per person is refused (I12)."""
    event_id = await on_sale(database, person_max=3)
    book = APPROACHES[approach]
    user_id = new_id("usr")
    await book(database, redis, order(event_id, user_id, key="a", quantity=2))

    with pytest.raises(Refused, match="limit_reached"):
        await book(database, redis, order(event_id, user_id, key="b", quantity=2))

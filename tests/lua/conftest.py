"""What every test of the scripts is given."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from engine import keys, scripts
from engine.door import Reign
from engine.engine import Engine
from engine.ids import new_id
from engine.seats import Section
from tests.checks import ask
from tests.lua.hall import SECTION, Hall
from tests.lua.world import Command, Desk, Till


@pytest.fixture
def till(redis: Redis, reign: Reign) -> Till:
    """Return a till on the test's shard, which is open under epoch 1."""
    return Till(redis, reign)


@pytest.fixture
async def old_till(redis: Redis, shard: int) -> Till:
    """Return a till of a reign that writes records of version 1."""
    door = ("epoch", 1, "state", "open", "seq", 0, "persisted_seq", 0, "backlog_max", 1_000_000)
    await ask(redis, "HSET", keys.meta(shard), *door, "layout", keys.LAYOUT_VERSION)
    for name in scripts.NAMES:
        await ask(redis, "SCRIPT LOAD", scripts.render(name, f"old-{shard}", 1))
    return Till(redis, Reign(shard=shard, epoch=1, script_shas=scripts.shas(f"old-{shard}", 1)))


@pytest.fixture
def user() -> str:
    """Draw a user."""
    return new_id("usr")


@pytest.fixture
async def desk(till: Till) -> Desk:
    """Publish the default event and return a desk for it."""
    await till.publish()
    return Desk(till)


@pytest.fixture
async def booking(till: Till) -> Command:
    """Publish the event and book two places of tier 1 and one of tier 2."""
    await till.publish()
    command = Command(new_id("usr"), (1, 2), (2, 1))
    assert "BOOKED" == (await till.book(command))[0][0]
    return command


@pytest.fixture
async def hall(engine: Engine, redis: Redis, shard: int) -> Hall:
    """Return a hall of two sections of one tier, and a general tier."""
    hall = Hall(engine, redis, shard)
    await hall.open(SECTION, Section(2, 1, (4,)), general=(3,))
    return hall

"""`seat`: sections are loaded within bounds, again without change, and before they are sold."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from engine.engine import Engine
from engine.errors import BadCommand
from engine.ids import new_id
from engine.outcomes import Refused
from engine.seats import Section
from engine.status import Status
from tests.checks import ask
from tests.lua.hall import SECTION, Hall
from tests.lua.world import dump


async def test_load_is_idempotent(hall: Hall) -> None:
    """A section loads again without change once published, and other content is refused."""
    before = await dump(hall.redis, hall.shard)
    assert await hall.engine.seat(hall.shard, hall.event, SECTION) is None
    for other in (SECTION._replace(rows=(5, 4, 1), kinds=""), SECTION._replace(section_no=3)):
        reply = await hall.engine.seat(hall.shard, hall.event, other)
        assert Refused(Status.IDEMPOTENCY_KEY_REUSED, {}) == reply
    assert before == await dump(hall.redis, hall.shard)


@pytest.mark.parametrize(
    "section",
    [
        Section(0, 1, (1,)),
        Section(201, 1, (1,)),
        Section(1, 0, (1,)),
        Section(1, 1, ()),
        Section(1, 1, (0,)),
        Section(1, 1, (2001,)),
        Section(1, 1, (1000, 1001)),
        Section(1, 1, (2,), "0"),
        Section(1, 1, (2,), "08"),
        Section(1, 1, (1, 1), "00"),
    ],
)
async def test_f21_section_bounds(engine: Engine, shard: int, section: Section) -> None:
    """F21: a section has 1..2000 seats and a kind for each; anything else is a caller's bug."""
    with pytest.raises(BadCommand, match="BADARG"):
        await engine.seat(shard, new_id("evt"), section)


async def test_publish_needs_all_seats(engine: Engine, redis: Redis, shard: int) -> None:
    """I2: an event whose sections are not loaded, or do not add up, is not published."""
    hall = Hall(engine, redis, shard)
    await engine.seat(shard, hall.event, SECTION)
    for capacity, sections in ((10, 2), (9, 1)):
        sha = engine.reign(shard).script_shas["publish"]
        names = [f"{{s{shard}}}:meta", f"{{s{shard}}}:log:1", f"{{s{shard}}}:events", *hall.names]
        with pytest.raises(ResponseError, match="BADARG seats"):
            await ask(
                redis,
                "EVALSHA",
                sha,
                len(names),
                *names,
                1,
                hall.event,
                "p",
                0,
                9,
                1,
                1,
                capacity,
                1,
                1,
                sections,
            )
    assert 0 == await ask(redis, "EXISTS", hall.names.stock)

"""`empty_event`: what is taken of a cancelled event is given back."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from engine.ids import new_id
from tests.lua.world import Command, Till, check_folded


async def test_empty_event_that_is_not_cancelled(till: Till) -> None:
    """An event that goes on loses nothing."""
    await till.publish()
    command = Command(new_id("usr"), (1, 1))
    await till.book(command)
    assert ["NOT_FOUND"] == await till.alone("empty_event", till.booking(command))
    with pytest.raises(ResponseError, match="BADARG"):
        await till.alone("empty_event", *(["bk"] * 101))
    await check_folded(till)


async def test_the_largest_step(till: Till) -> None:
    """F21: a hundred bookings of a hundred places each end in one step, or in one batch."""
    await till.publish(tiers=[(2_000, 100, 10)] * 10, person_max=100)
    lines = [(n, 10) for n in range(1, 11)]
    first, second = ([Command(new_id("usr"), *lines) for _ in range(100)] for _ in range(2))
    await till.book(*first)
    await till.book(*second)
    assert {"CANCELLED"} == {reply[0] for reply in await till.cancel(*first)}
    await till.alone("cancel_event")
    assert ["EMPTIED", 0, 100, 0, 0] == await till.alone(
        "empty_event", *(till.booking(one) for one in second)
    )
    await check_folded(till)

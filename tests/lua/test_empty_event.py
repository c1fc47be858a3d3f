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

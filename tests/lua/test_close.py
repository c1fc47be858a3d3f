"""`close`, and what it shares with the other changes of a sale."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from tests.checks import FAR_MS
from tests.lua.world import Till, dump


@pytest.mark.parametrize(
    ("verb", "words"), [("close", ()), ("reopen", (FAR_MS,)), ("set_capacity", ("1:5",))]
)
async def test_not_on_sale(till: Till, verb: str, words: tuple[object, ...]) -> None:
    """An event that is not loaded is NOT_ON_SALE."""
    assert ["NOT_ON_SALE"] == await till.one(verb, *words)
    assert ["NOT_ON_SALE"] == await till.alone("cancel_event")


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("reopen", ("x",)),
        ("reopen", ("-1",)),
        ("set_capacity", ("",)),
        ("set_capacity", ("1",)),
        ("set_capacity", ("1:10000001",)),
        ("set_capacity", ("1:1,1:2",)),
        ("set_capacity", ("1:1;x",)),
        ("set_capacity", (";5",)),
        ("set_capacity", ("1:1;1234567890123456",)),
    ],
)
async def test_badarg(till: Till, verb: str, words: tuple[object, ...]) -> None:
    """What no right caller sends is an error that changes nothing."""
    await till.publish()
    before = await dump(till.redis, till.shard)
    with pytest.raises(ResponseError, match="BADARG"):
        await till.one(verb, *words)
    assert before == await dump(till.redis, till.shard)

"""`lua/availability.lua`: what it tells, of which moment, and when it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ResponseError

from engine import keys
from engine.ids import new_id
from tests.checks import ask, snapshot
from tests.lua.world import Command, Till


async def test_not_on_sale(till: Till) -> None:
    """An event that is not loaded is not on sale."""
    assert [["NOT_ON_SALE"]] == await till.availability()


async def test_stock(till: Till, user: str) -> None:
    """A loaded event tells the last seq, a Redis time, and all fields of its stock."""
    await till.publish()
    await till.book(Command(user, (1, 2)))
    start_ms = await till.now_ms()
    [[status, seq, at_ms, *flat]] = await till.availability()
    assert ("STOCK", "2") == (status, seq)
    assert start_ms <= at_ms <= await till.now_ms()
    rows = await ask(till.redis, "HGETALL", keys.event(till.shard, till.event).stock)
    told = dict(zip(flat[::2], flat[1::2], strict=True))
    assert {name.decode(): value.decode() for name, value in rows.items()} == told
    assert ("8", "2") == (told["1.available"], told["1.sold"])


async def test_events_in_order(till: Till) -> None:
    """Replies stand in the order of the events asked for, all of one moment."""
    other, unknown = new_id("evt"), new_id("evt")
    await till.publish()
    await till.publish(other, fingerprint="p2")
    replies = await till.availability(other, unknown, till.event)
    assert ["STOCK", "NOT_ON_SALE", "STOCK"] == [reply[0] for reply in replies]
    prints = [reply[reply.index("fingerprint") + 1] for reply in replies[::2]]
    assert ["p2", "p1"] == prints
    assert 1 == len({tuple(reply[1:3]) for reply in replies[::2]})


async def test_f21_largest_call(till: Till) -> None:
    """F21: 128 events of 100 tiers each are told in one call."""
    events = [new_id("evt") for _ in range(128)]
    for event in events:
        await till.publish(event, tiers=[(1, 1, 1)] * 100)
    replies = await till.availability(*events)
    assert [("STOCK", 3 + 2 * (9 + 700))] * 128 == [(reply[0], len(reply)) for reply in replies]


async def test_nothing_changes(till: Till) -> None:
    """Reading changes nothing."""
    await till.publish()
    before = await snapshot(till.redis, till.shard)
    await till.availability()
    assert before == await snapshot(till.redis, till.shard)


@pytest.mark.parametrize("number", range(2))
async def test_f22_wrong_type_keys_leave_state_unchanged(till: Till, number: int) -> None:
    """F22: a key of the wrong type is an error, not an answer."""
    await till.publish()
    key = (till.meta, keys.event(till.shard, till.event).stock)[number]
    await ask(till.redis, "DEL", key)
    await ask(till.redis, "SET", key, "planted")
    before = await snapshot(till.redis, till.shard)
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await till.availability()
    assert before == await snapshot(till.redis, till.shard)


@pytest.mark.parametrize(
    ("epoch", "meta", "message"),
    [
        (2, {}, "FENCED 1 open"),
        (1, {"epoch": 2}, "FENCED 2 open"),
        (1, {"state": "recovering"}, "FENCED 1 recovering"),
        (1, None, "FENCED false false"),
    ],
)
async def test_i17_fenced(
    till: Till, epoch: int, meta: dict[str, Any] | None, message: str
) -> None:
    """I17: a shut shard tells nothing that a seller could rely on."""
    await till.publish()
    if meta is None:
        await ask(till.redis, "DEL", till.meta)
    elif meta:
        await till.set_meta(**meta)
    till.epoch = epoch
    with pytest.raises(ResponseError, match=f"^{message}$"):
        await till.availability()

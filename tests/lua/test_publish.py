"""`lua/publish.lua`: what it loads, its replays and refusals, and that errors change nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from redis.exceptions import ResponseError

from engine import keys
from engine.ids import new_id
from engine.records import Published
from engine.records import Tier as RecordTier
from tests.checks import FAR_MS, ask, check_consistent, journal, rows_of, snapshot
from tests.lua.world import TIERS, Till


def names(till: Till) -> list[str]:
    """Return the script's KEYS for the default event."""
    event = keys.event(till.shard, till.event)
    return [till.meta, till.journal, keys.events(till.shard), *event]


async def test_state_left_behind(till: Till) -> None:
    """I1: stock, set of events, sequence and journal record hold what was published."""
    start_ms = await till.now_ms()
    status, epoch, seq, at_ms, _ = await till.publish(person_max=6)
    assert ("PUBLISHED", "1", "1") == (status, epoch, seq)
    assert start_ms <= at_ms <= await till.now_ms()
    expected: dict[str, Any] = {
        "fingerprint": "p1",
        "epoch": 1,
        "seq": 1,
        "at_ms": at_ms,
        "opens_at_ms": 0,
        "closes_at_ms": FAR_MS,
        "person_max": 6,
        "tier_count": 3,
    }
    for number, (capacity, price, order_max) in enumerate(TIERS, start=1):
        expected |= {
            f"{number}.capacity": capacity,
            f"{number}.available": capacity,
            f"{number}.held": 0,
            f"{number}.sold": 0,
            f"{number}.blocked": 0,
            f"{number}.price_minor": price,
            f"{number}.order_max": order_max,
        }
    rows = await rows_of(till.redis, names(till)[3])
    assert {name: str(value) for name, value in expected.items()} == {
        name.decode(): value.decode() for name, value in rows.items()
    }
    assert {till.event.encode()} == await ask(till.redis, "SMEMBERS", keys.events(till.shard))
    [entry] = await journal(till.redis, till.shard)
    assert entry.record == Published(
        version=2,
        at_ms=at_ms,
        event_id=till.event,
        fingerprint="p1",
        opens_at_ms=0,
        closes_at_ms=FAR_MS,
        person_max=6,
        tiers=[RecordTier(n, *tier) for n, tier in enumerate(TIERS, start=1)],
    )
    await check_consistent(till.redis, till.shard)


async def test_replayed(till: Till) -> None:
    """The same content again gives the first reply and changes nothing."""
    _, *first, _ = await till.publish()
    before = await snapshot(till.redis, till.shard)
    assert ["REPLAYED", *map(str, first)] == await till.publish()
    assert before == await snapshot(till.redis, till.shard)


async def test_idempotency_key_reused(till: Till) -> None:
    """A loaded event is not loaded over with other content."""
    await till.publish()
    before = await snapshot(till.redis, till.shard)
    reply = await till.publish(tiers=((99, 1, 1),), fingerprint="p2")
    assert ["IDEMPOTENCY_KEY_REUSED"] == reply
    assert before == await snapshot(till.redis, till.shard)


async def test_f37_race_to_publish(till: Till) -> None:
    """F37: of 30 parallel calls one loads the event, the others get its reply."""
    replies = await asyncio.gather(*(till.publish() for _ in range(30)))
    assert Counter({"PUBLISHED": 1, "REPLAYED": 29}) == Counter(reply[0] for reply in replies)
    assert 1 == len({tuple(map(str, reply[1:4])) for reply in replies})
    await check_consistent(till.redis, till.shard)


async def test_f21_hundred_tiers(till: Till) -> None:
    """F21: the largest event of 100 tiers loads."""
    reply = await till.publish(tiers=[(n, n, 10) for n in range(100)])
    assert "PUBLISHED" == reply[0]
    await check_consistent(till.redis, till.shard)


@pytest.mark.parametrize("number", range(4))
async def test_f22_wrong_type_keys_leave_state_unchanged(till: Till, number: int) -> None:
    """F22: a key of the wrong type is an error, and nothing is changed."""
    await till.publish(new_id("evt"))
    key = names(till)[number]
    await ask(till.redis, "DEL", key)
    await ask(till.redis, "SET", key, "planted")
    before = await snapshot(till.redis, till.shard)
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await till.publish()
    assert before == await snapshot(till.redis, till.shard)


async def test_f33_journal_ahead_leaves_state_unchanged(till: Till) -> None:
    """F33: a journal that is already at a higher id is an error, and nothing is changed."""
    await ask(till.redis, "XADD", till.journal, "1-1", "records", "from another history")
    before = await snapshot(till.redis, till.shard)
    with pytest.raises(ResponseError, match="equal or smaller"):
        await till.publish()
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
    """I17: under another epoch, or while the shard is not open, nothing is changed."""
    if meta is None:
        await ask(till.redis, "DEL", till.meta)
    elif meta:
        await till.set_meta(**meta)
    till.epoch = epoch
    before = await snapshot(till.redis, till.shard)
    with pytest.raises(ResponseError, match=f"^{message}$"):
        await till.publish()
    assert before == await snapshot(till.redis, till.shard)


BAD = [
    ("x", 2, 1, 1, 1, 1, 1),
    (1, "x", 1, 1, 1, 1, 1),
    (2, 1, 1, 1, 1, 1, 1),
    (1, 1, 1, 1, 1, 1, 1),
    (1, 2, 0, 1, 1, 1, 1),
    (1, 2, "x", 1, 1, 1, 1),
    (1, 2, 1, 0),
    (1, 2, 1, 101, *(1, 1, 1) * 101),
    (1, 2, 1, 2, 1, 1, 1),
    (1, 2, 1, 1, 1, 1, 1, 1),
    (1, 2, 1, 1, -1, 1, 1),
    (1, 2, 1, 1, "1.5", 1, 1),
    (1, 2, 1, 1, "inf", 1, 1),
    (1, 2, 1, 1, "0x10", 1, 1),
    (1, 2, 1, 1, 1, -1, 1),
    (1, 2, 1, 1, 1, 1, 0),
    (1, 2, 1, 1, 1, 1, 11),
]


@pytest.mark.parametrize("args", BAD, ids=lambda args: ",".join(map(str, args[:7])))
async def test_badarg(till: Till, args: tuple[Any, ...]) -> None:
    """Figures outside the header's ranges are an error that changes nothing."""
    before = await snapshot(till.redis, till.shard)
    with pytest.raises(ResponseError, match="BADARG"):
        await till.call("publish", names(till), 1, till.event, "p1", *args)
    assert before == await snapshot(till.redis, till.shard)

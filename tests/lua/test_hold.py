"""`hold`: places set aside, replayed, refused; and what all verbs of a hold share."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ResponseError

from engine.ids import new_id
from engine.records import Held
from tests.checks import FAR_MS, Tier, snapshot, users
from tests.lua.world import LIFE_MAX_MS, TTL_MS, Command, Desk

VERBS: dict[str, tuple[Any, ...]] = {"confirm": (), "release": (), "extend": (TTL_MS, LIFE_MAX_MS)}


async def test_hold_sets_places_aside(desk: Desk, user: str) -> None:
    """I1, I12: places move from available to held, and count for the person."""
    command = Command(user, (1, 3), (2, 2))
    [[status, epoch, seq, at_ms, items, expires_at_ms]] = await desk.hold(command)

    assert ("HELD", "1", "2", "1:3:2500,2:2:9900") == (status, epoch, seq, items)
    assert at_ms + TTL_MS == expires_at_ms
    tiers = await desk.tiers()
    assert (Tier(7, 3, 0), Tier(3, 2, 0)) == (tiers[1], tiers[2])
    assert {user: 5} == await desk.people()
    record = await desk.last()
    assert isinstance(record, Held)
    assert (desk.hold_id(command), user, expires_at_ms) == (
        record.hold_id,
        record.user_id,
        record.expires_at_ms,
    )


async def test_hold_is_replayed(desk: Desk, user: str) -> None:
    """I6: the same key holds once, in one batch and later; another request is refused."""
    command = Command(user, (1, 2))
    first, second = await desk.hold(command, command)
    [third] = await desk.hold(command)
    [other] = await desk.hold(Command(user, (1, 1), fingerprint="other"))

    assert "HELD" == first[0]
    assert ["REPLAYED", *[str(v) for v in first[1:]]] == [str(v) for v in second]
    assert [str(v) for v in second] == [str(v) for v in third]
    assert ["IDEMPOTENCY_KEY_REUSED"] == other
    assert Tier(8, 2, 0) == (await desk.tiers())[1]


async def test_hold_refusals(desk: Desk, user: str) -> None:
    """A hold is refused for the same reasons, in the same order, as a booking."""
    [unknown], [order], [sold_out] = (
        await desk.hold(Command(user, (9, 1), key="a")),
        await desk.hold(Command(user, (1, 5), key="b")),
        await desk.hold(Command(user, (3, 1), key="c")),
    )
    await desk.hold(Command(user, (2, 5), key="d"))
    [person] = await desk.hold(Command(user, (1, 2), key="e"))
    [held] = await desk.hold(Command(new_id("usr"), (2, 1), key="f"))

    assert ["UNKNOWN_TIER", 1] == unknown
    assert ["LIMIT_REACHED", "order", 4, 0] == order
    assert ["SOLD_OUT", 1, 0] == sold_out
    assert ["LIMIT_REACHED", "person", 6, 5] == person
    assert ["ALL_HELD", 1, 0] == held[:3]
    assert 0 < held[3] <= TTL_MS


async def test_i12_a_limit_counts_holds_and_bookings(desk: Desk, user: str) -> None:
    """I12: live holds count; confirming neither adds nor forgets; the end of a hold does."""
    first, second = Command(user, (1, 4), key="a"), Command(user, (1, 2), key="b")
    await desk.hold(first)
    await desk.hold(second)
    await desk.on("confirm", first)
    [refused] = await desk.till.book(Command(user, (2, 1), key="c"))
    await desk.on("release", second)
    [booked] = await desk.till.book(Command(user, (2, 2), key="c"))

    assert ["LIMIT_REACHED", "person", 6, 6] == refused
    assert "BOOKED" == booked[0]


async def test_complaint_14_held_is_not_sold_out(desk: Desk, user: str) -> None:
    """Complaint 14: the last places held are `ALL_HELD`; sold, they are `SOLD_OUT`."""
    command = Command(user, (2, 5))
    await desk.hold(command)
    other = new_id("usr")
    [held] = await desk.till.book(Command(other, (2, 1)))
    await desk.on("confirm", command)
    [sold] = await desk.till.book(Command(other, (2, 1)))

    assert ["ALL_HELD", "SOLD_OUT"] == [held[0], sold[0]]


async def test_fenced(desk: Desk, user: str) -> None:
    """I13, I17: under another epoch no verb changes anything."""
    command = Command(user, (1, 2))
    await desk.hold(command)
    before = await snapshot(desk.till.redis, desk.till.shard)
    desk.till.epoch = 2
    with pytest.raises(ResponseError, match="FENCED 1 open"):
        await desk.hold(Command(user, (1, 1), key="new"))
    for verb, words in VERBS.items():
        with pytest.raises(ResponseError, match="FENCED 1 open"):
            await desk.on(verb, command, *words)
    with pytest.raises(ResponseError, match="FENCED 1 open"):
        await desk.expire()

    assert before == await snapshot(desk.till.redis, desk.till.shard)


async def test_f21_largest_batch(desk: Desk) -> None:
    """F21: 128 holds in one call are all decided, and exactly as many as fit win."""
    commands = [Command(each, (1, 1)) for each in users(128)]
    replies = await desk.hold(*commands)

    assert 10 == [reply[0] for reply in replies].count("HELD")
    assert 118 == [reply[0] for reply in replies].count("ALL_HELD")
    assert FAR_MS > replies[-1][3]

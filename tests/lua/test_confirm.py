"""`confirm`: a hold becomes a booking once, by its owner, in time or not."""

from __future__ import annotations

import itertools

import pytest

from engine.ids import booking_of_hold, new_id
from engine.records import CHECK_CHARS, Confirmed
from tests.checks import Tier, check_consistent, journal, snapshot
from tests.lua.world import GONE_MS, LIFE_MAX_MS, TTL_MS, Command, Desk, wait_until_gone


async def test_confirm_makes_the_booking(desk: Desk, user: str) -> None:
    """I10, I11: a live hold becomes a booking once; every further confirm gives that booking."""
    command = Command(user, (1, 2), detail='{"special_requests":"a b"}')
    await desk.hold(command)
    first = await desk.on("confirm", command)
    again = await desk.on("confirm", command)

    assert ["CONFIRMED", "1", "3"] == first[:3]
    assert ["REPLAYED", *map(str, first[1:-1])] == [str(value) for value in again]
    assert (
        first[-1].encode()
        == (await journal(desk.till.redis, desk.till.shard))[-1].raw[CHECK_CHARS:]
    )
    assert Tier(8, 0, 2) == (await desk.tiers())[1]
    assert {user: 2} == await desk.people()
    record = await desk.last()
    assert isinstance(record, Confirmed)
    assert booking_of_hold(desk.hold_id(command)) == record.booking_id
    assert ("a b", False) == (record.detail.special_requests, record.was_expired)
    assert record.fingerprint == first[5]


async def test_complaint_2_two_confirms_of_one_hold(desk: Desk, user: str) -> None:
    """Complaint 2: the check is in confirm too; the last place becomes one booking."""
    command = Command(user, (1, 4))
    await desk.hold(command)
    hold = desk.hold_id(command)
    replies = await desk.call("confirm", *([1, hold, user] * 5))

    assert ["CONFIRMED", *["REPLAYED"] * 4] == [reply[0] for reply in replies]
    assert Tier(6, 0, 4) == (await desk.tiers())[1]


@pytest.mark.parametrize(
    "steps", sorted(set(itertools.permutations(("confirm", "confirm", "release", "extend"))))
)
async def test_complaint_4_any_order_ends_the_same(
    desk: Desk, user: str, steps: tuple[str, ...]
) -> None:
    """Complaint 4: a webhook, its repetition and the user, in any order, end in one state."""
    command = Command(user, (1, 2))
    await desk.hold(command)
    replies = {}
    for step in steps:
        words = (TTL_MS, LIFE_MAX_MS) if step == "extend" else ()
        replies[step] = (await desk.on(step, command, *words))[0]
    first = next(step for step in steps if step != "extend")
    if first == "confirm":
        assert ("REPLAYED", "HOLD_CONFIRMED") == (replies["confirm"], replies["release"])
        assert Tier(8, 0, 2) == (await desk.tiers())[1]
    else:
        assert ("HOLD_RELEASED", "RELEASED") == (replies["confirm"], replies["release"])
        assert Tier(10, 0, 0) == (await desk.tiers())[1]
    await check_consistent(desk.till.redis, desk.till.shard)


async def test_i11_only_the_owner(desk: Desk, user: str) -> None:
    """I11: nobody else confirms, extends or releases a hold; to them it is not there."""
    command = Command(user, (1, 2))
    await desk.hold(command)
    before = await snapshot(desk.till.redis, desk.till.shard)
    thief = new_id("usr")
    replies = [
        await desk.on("confirm", command, user=thief),
        await desk.on("release", command, user=thief),
        await desk.on("extend", command, TTL_MS, LIFE_MAX_MS, user=thief),
        await desk.on("confirm", Command(user, key="unknown")),
    ]

    assert [["NOT_FOUND"]] * 4 == replies
    assert before == await snapshot(desk.till.redis, desk.till.shard)


async def test_f35_late_confirm_takes_places_that_are_still_there(desk: Desk, user: str) -> None:
    """F35: paid too late, the place is taken anew if there is one, within the same limits."""
    command = Command(user, (2, 5))
    await desk.hold(command, ttl_ms=GONE_MS)
    await wait_until_gone(desk, command)
    await desk.expire()
    reply = await desk.on("confirm", command)

    assert "CONFIRMED" == reply[0]
    assert Tier(0, 0, 5) == (await desk.tiers())[2]
    record = await desk.last()
    assert isinstance(record, Confirmed)
    assert record.was_expired


async def test_f35_late_confirm_after_the_places_are_gone(desk: Desk, user: str) -> None:
    """F35: expiry and confirm race; when the places went to another, the late one is told."""
    command = Command(user, (2, 5))
    await desk.hold(command, ttl_ms=GONE_MS)
    await wait_until_gone(desk, command)
    await desk.till.book(Command(new_id("usr"), (2, 1)))
    reply = await desk.on("confirm", command)

    assert "HOLD_EXPIRED" == reply[0]
    assert Tier(4, 0, 1) == (await desk.tiers())[2]

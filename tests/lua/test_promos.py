"""Promo codes: what they take off, and that their uses are counted where the places are."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from redis.exceptions import ResponseError

from engine import keys
from engine.ids import booking_of_hold
from engine.records import Promo, Published
from tests.checks import ask, check_consistent, journal, snapshot, users
from tests.lua.world import Command, Desk, Till

#: 20 percent of tier 1 and 2, 5 times; 3000 off every tier, twice.
PROMOS = "EARLY:5:20:0:1+2,GIFT:2:0:3000:"


def order(user: str, *items: tuple[int, int], code: str = "EARLY", key: str = "k") -> Command:
    """Make an order with a promo code."""
    return Command(user, *items, key=key, fingerprint=f"f1~{code}")


async def used(till: Till, code: str = "EARLY") -> int:
    """Return how often a code counts as used."""
    promos = keys.event(till.shard, till.event).promos
    return int(await ask(till.redis, "HGET", promos, f"{code}.used"))


async def test_codes_are_published(till: Till) -> None:
    """The record has what was loaded."""
    await till.publish(promos=PROMOS)
    [entry] = await journal(till.redis, till.shard)
    assert isinstance(entry.record, Published)
    expected = [Promo("EARLY", 5, 20, 0, [1, 2]), Promo("GIFT", 2, 0, 3000, [])]
    assert expected == entry.record.promos


@pytest.mark.parametrize(
    "promos", ["A:-1:1:1:", "A:1:101:0:", "A:1:1:1:9", "A:1:1", "A:1:1:1:,", "A:1:1:1:;B"]
)
async def test_bad_promos(till: Till, promos: str) -> None:
    """Codes outside the header's ranges are an error that changes nothing."""
    before = await snapshot(till.redis, till.shard)
    with pytest.raises(ResponseError, match="BADARG"):
        await till.publish(promos=promos)
    assert before == await snapshot(till.redis, till.shard)


async def test_prices_are_reduced(till: Till, user: str) -> None:
    """Each place of the code's tiers costs less: whole minor units, rounded up, never below 0."""
    await till.publish(tiers=[(9, 2501, 9), (9, 9900, 9), (9, 100, 9)], promos=PROMOS)
    [early] = await till.book(order(user, (1, 1), (2, 1), (3, 1)))
    assert ("BOOKED", "1:1:2001,2:1:7920,3:1:100") == (early[0], early[4])
    [gift] = await till.book(order(user, (2, 1), (3, 1), code="GIFT", key="k-2"))
    assert ("BOOKED", "2:1:6900,3:1:0") == (gift[0], gift[4])
    assert (1, 1) == (await used(till), await used(till, "GIFT"))
    await check_consistent(till.redis, till.shard)


async def test_refusals(till: Till, user: str) -> None:
    """An unknown code, one for other tiers and one that is used up are refused; nothing changes."""
    await till.publish(tiers=[(9, 2500, 9), (9, 1, 9), (9, 1, 9)], promos="EARLY:1:20:0:1+2")
    await till.book(order("usr_other", (1, 1)))
    before = await snapshot(till.redis, till.shard)
    assert [["PROMO_UNKNOWN"]] == await till.book(order(user, (1, 1), code="NONE"))
    assert [["PROMO_UNKNOWN"]] == await till.book(order(user, (3, 1)))
    assert [["PROMO_EXHAUSTED", 1]] == await till.book(order(user, (1, 1)))
    assert [["PROMO_EXHAUSTED", 1]] == await Desk(till).hold(order(user, (1, 1)))
    assert before == await snapshot(till.redis, till.shard)


async def test_complaint_7_promo_cap_is_counted_in_the_same_call(till: Till) -> None:
    """Complaint 7: of 100 racing for 5 uses, by booking and by hold, exactly 5 get the price."""
    await till.publish(tiers=[(1000, 2500, 9)], promos="EARLY:5:20:0:")
    orders = [order(user, (1, 1)) for user in users(100)]
    desk = Desk(till)
    calls = [till.book(*orders[n : n + 5]) for n in range(0, 50, 5)]
    calls += [desk.hold(*orders[n : n + 5]) for n in range(50, 100, 5)]
    replies = [reply for batch in await asyncio.gather(*calls) for reply in batch]
    counted = Counter("got" if reply[0] in ("BOOKED", "HELD") else reply[0] for reply in replies)
    assert Counter({"got": 5, "PROMO_EXHAUSTED": 95}) == counted
    assert 5 == await used(till)
    await check_consistent(till.redis, till.shard)


async def test_uses_come_back(till: Till, user: str) -> None:
    """A hold's use goes on with its booking, and comes back when hold or booking ends."""
    await till.publish(promos="EARLY:1:20:0:")
    desk, first = Desk(till), order(user, (1, 1))
    await desk.hold(first)
    await desk.hold(first)
    assert 1 == await used(till)
    assert "CONFIRMED" == (await desk.on("confirm", first))[0]
    assert 1 == await used(till)
    booking = booking_of_hold(desk.hold_id(first))
    names = [till.meta, till.journal, keys.due(till.shard), *keys.event(till.shard, till.event)]
    await till.call("cancel", names, till.epoch, till.event, 1, booking, user)
    assert 0 == await used(till)
    second = order(user, (1, 1), key="k-2")
    await desk.hold(second)
    await desk.on("release", second)
    assert 0 == await used(till)
    await check_consistent(till.redis, till.shard)


async def test_overdue_holds_give_their_uses(till: Till, user: str) -> None:
    """A use of an overdue hold is free for the next; a late confirm without one is over."""
    await till.publish(promos="EARLY:1:20:0:")
    desk, late = Desk(till), order(user, (1, 1))
    await desk.hold(late, ttl_ms=1)
    await asyncio.sleep(0.01)
    other = order("usr_other", (1, 1))
    assert "BOOKED" == (await till.book(other))[0][0]
    assert ["PROMO_EXHAUSTED", 1] == await desk.on("confirm", late)
    await till.cancel(other)
    assert "CONFIRMED" == (await desk.on("confirm", late))[0]
    assert 1 == await used(till)
    await check_consistent(till.redis, till.shard)

"""Hidden tiers: without a promo code that names them they are as if they were not there."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from engine import keys
from engine.commands import Promo, Publish, TierStock
from engine.engine import ALL_TIERS, Engine
from engine.outcomes import Applied, SeatChanges, SeatMap
from engine.records import Published
from engine.seats import Section
from tests.checks import FAR_MS, check_consistent, journal, snapshot, users
from tests.lua.hall import Hall
from tests.lua.test_promos import order, used
from tests.lua.waitlist import Queue, Waiter
from tests.lua.world import Command, Desk, Till

#: Tier 2 is hidden. KEY unlocks it, twice, at full price; HALF unlocks it and takes off 50 percent;
#: OTHER is for tier 1; ALL names no tier.
HIDDEN = [(2, 0, 0, 0, 0, 1)]
CODES = "KEY:2:0:0:2,HALF:9:50:0:1+2,OTHER:9:5:0:1,ALL:9:5:0:"


async def publish(till: Till, *capacities: int) -> None:
    """Load an event whose tier 2 is hidden."""
    tiers = [(capacity, 2500, 10) for capacity in capacities or (9, 9)]
    await till.publish(tiers=tiers, rules=HIDDEN, promos=CODES)


async def test_record_says_it(till: Till) -> None:
    """The `published` record has which tiers are hidden."""
    await publish(till)
    [entry] = await journal(till.redis, till.shard)
    assert isinstance(entry.record, Published)
    assert [0, 1] == [tier.is_hidden for tier in entry.record.tiers]
    assert Promo("KEY", 2, 0, 0, (2,)).word() in CODES


@pytest.mark.parametrize("verb", ["book", "hold"])
@pytest.mark.parametrize("code", ["", "NONE", "OTHER", "ALL", "KEY.used", "KE"])
async def test_locked(till: Till, user: str, verb: str, code: str) -> None:
    """Neither sold nor held without a code that names it, alone or beside others; as if unknown."""
    await publish(till)
    call = till.book if verb == "book" else Desk(till).hold
    before = await snapshot(till.redis, till.shard)
    fingerprint = f"f1~{code}" if code else "f1"
    for first in ([], [(1, 1)]):
        [reply] = await call(Command(user, *first, (2, 1), fingerprint=fingerprint))
        [unknown] = await call(Command(user, *first, (9, 1), fingerprint=fingerprint))
        assert ["UNKNOWN_TIER", len(first) + 1] == reply == unknown
    assert before == await snapshot(till.redis, till.shard)


async def test_unlocked(till: Till, user: str) -> None:
    """A code that names it sells it, by itself at full price, and takes off what it says."""
    await publish(till)
    [full] = await till.book(order(user, (2, 1), (1, 1), code="KEY"))
    assert ("BOOKED", "2:1:2500,1:1:2500") == (full[0], full[4])
    [half] = await till.book(order(user, (2, 1), (1, 1), code="HALF", key="k-2"))
    assert ("BOOKED", "2:1:1250,1:1:1250") == (half[0], half[4])
    assert (1, 1) == (await used(till, "KEY"), await used(till, "HALF"))
    await check_consistent(till.redis, till.shard)


async def test_uses_are_counted_in_the_same_call(till: Till) -> None:
    """Of 60 racing with an access code of two uses, by booking and by hold, exactly two get in."""
    await publish(till, 100, 100)
    orders = [order(user, (2, 1), code="KEY") for user in users(60)]
    desk = Desk(till)
    calls = [till.book(*orders[n : n + 5]) for n in range(0, 30, 5)]
    calls += [desk.hold(*orders[n : n + 5]) for n in range(30, 60, 5)]
    replies = [reply for batch in await asyncio.gather(*calls) for reply in batch]
    counted = Counter("got" if reply[0] in ("BOOKED", "HELD") else reply[0] for reply in replies)
    assert Counter({"got": 2, "PROMO_EXHAUSTED": 58}) == counted
    assert 2 == await used(till, "KEY")
    await check_consistent(till.redis, till.shard)


async def test_hold_is_confirmed(till: Till, user: str) -> None:
    """What a code has unlocked stays so: its hold is confirmed, even late while uses are left."""
    await publish(till)
    desk, held = Desk(till), order(user, (2, 2), code="KEY")
    await desk.hold(held)
    assert "CONFIRMED" == (await desk.on("confirm", held))[0]
    assert 1 == await used(till, "KEY")
    late = order("usr_late", (2, 1), code="KEY")
    await desk.hold(late, ttl_ms=1)
    await asyncio.sleep(0.01)
    assert "CONFIRMED" == (await desk.on("confirm", late))[0]
    assert ["PROMO_EXHAUSTED", 2] == (await till.book(order("usr_x", (2, 1), code="KEY")))[0]
    await check_consistent(till.redis, till.shard)


async def test_no_waitlist(till: Till) -> None:
    """Nobody waits for a hidden tier, sold out or not: it is as if unknown."""
    await publish(till, 9, 1)
    queue = Queue(till)
    for _ in range(2):
        reply = await queue.send_join(Waiter(till.event, 1, tier_no=2))
        assert ["UNKNOWN_TIER", 1] == reply
        await till.book(order("usr_one", (2, 1), code="KEY"))


async def test_availability(till: Till, user: str) -> None:
    """Told to nobody without its code, to who has it, and to organizers; a used-up code is one."""
    await publish(till)
    for code in ("KEY", "KEY"):
        await till.book(order(user, (2, 1), code=code, key=code))

    async def tiers(code: str) -> set[str]:
        [[status, _, _, *flat]] = await till.availability(code=code)
        assert "STOCK" == status
        assert ("hidden" in flat) == (code == ALL_TIERS)
        return {name.partition(".")[0] for name in flat[::2] if "." in name}

    for code in ("", "NONE", "OTHER", "ALL"):
        assert {"1"} == await tiers(code)
    for code in ("KEY", "HALF", ALL_TIERS):
        assert {"1", "2"} == await tiers(code)


async def test_availability_of_several(till: Till) -> None:
    """In one call each event has its own code, and those without hidden tiers are told whole."""
    await publish(till)
    await till.publish("evt_open", fingerprint="p2")
    replies: list[Any] = []
    for code in ("", "KEY"):
        replies += await till.availability(till.event, "evt_open", code=code)
    assert [False, True, True, True] == ["2.available" in reply for reply in replies]


async def test_tiers_with_several_digits(till: Till, user: str) -> None:
    """Tier 2 is not tier 12: what one code unlocks is exactly what it names."""
    rules = [(2, 0, 0, 0, 0, 1), (12, 0, 0, 0, 0, 1)]
    await till.publish(tiers=[(9, 1, 9)] * 12, rules=rules, promos="KEY:9:0:0:12")
    assert ["UNKNOWN_TIER", 1] == (await till.book(order(user, (2, 1), code="KEY")))[0]
    assert "BOOKED" == (await till.book(order(user, (12, 1), code="KEY")))[0][0]
    assert "BOOKED" == (await till.book(Command(user, (1, 1), key="k-2")))[0][0]


async def test_seats(engine: Engine, hall: Hall) -> None:
    """The map of a hidden tier's sections, and what changes in them, is for who has a code."""
    shard, event = hall.shard, hall.event
    told = await engine.seats(shard, event)
    assert isinstance(told, SeatMap)
    assert ("fff", "") == told.statuses
    for code in ("KEY", ALL_TIERS):
        told = await engine.seats(shard, event, promo_code=code)
        assert isinstance(told, SeatMap)
        assert ("fff", "ff") == told.statuses
    await hall.book("usr_a", (1, 1, "s1-1"))
    before = await snapshot(hall.redis, shard)
    assert [("UNKNOWN_TIER", {"line": 1}) for _ in range(2)] == [
        await hall.book("usr_b", line) for line in ((2, 1, "s2-1"), (2, 1, "best"))
    ]
    assert before == await snapshot(hall.redis, shard)
    sold = hall.order("usr_c", (2, 1, "s2-2"))._replace(fingerprint="f~KEY")
    await engine.book(shard, sold)
    for code, seats in (("", [("s1-1",)]), ("KEY", [("s1-1",), ("s2-2",)])):
        changes = await engine.seats(shard, event, since=0, promo_code=code)
        assert isinstance(changes, SeatChanges)
        assert (2, seats) == (changes.version, [change[2] for change in changes.changes])
    await hall.check()


@pytest.fixture
async def hall(engine: Engine, till: Till) -> Hall:
    """Return a hall whose second section is of a hidden tier."""
    hall = Hall(engine, till.redis, till.shard)
    for section in (Section(1, 1, (3,)), Section(2, 2, (2,))):
        assert await engine.seat(hall.shard, hall.event, section) is None
    hall.capacity = {1: 3, 2: 2}
    tiers = (TierStock(3, 2500, 10), TierStock(2, 2500, 10, is_hidden=True))
    content = Publish(hall.event, "p", 0, FAR_MS, 9, tiers, 2, (Promo("KEY", 9, 0, 0, (2,)),))
    assert isinstance(await engine.publish(hall.shard, content), Applied)
    return hall


async def test_stock_without_hidden_tiers(till: Till) -> None:
    """Hidden tiers are one field of the stock, and it is there only where there are some."""
    await till.publish()
    assert not await till.redis.hexists(keys.event(till.shard, till.event).stock, "hidden")

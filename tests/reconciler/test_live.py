"""F40: the check runs against a live sale and never mistakes movement for drift."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from engine import keys
from engine.commands import Order, Own
from engine.ids import new_id
from engine.outcomes import Booked
from tests.checks import ask, make_booking_id
from tests.reconciler.conftest import DETAIL, BoxOffice, Shown

BUYERS = 24
#: Bookings under way of one check: each reads all that was ever sold, so a sale that a busy machine
#: lets outgrow its checks would have no end.
BOOKINGS_PER_CHECK = 30


class Pace:
    """How long buyers pause, so that a check sees about so many bookings, however long it takes."""

    def __init__(self) -> None:
        self.check_s = 0.05

    def pause_s(self, chance: random.Random) -> float:
        """Draw a pause between two bookings of one buyer."""
        return 2 * chance.random() * self.check_s * BUYERS / BOOKINGS_PER_CHECK


@pytest.mark.timeout(240)
@pytest.mark.parametrize("checks", [15, pytest.param(50, marks=pytest.mark.slow)])
async def test_f40_reconcile_live(office: BoxOffice, checks: int) -> None:
    """Checks while buyers book and cancel, records are persisted and trimmed: 0 violations."""
    events = [await office.add_event() for _ in range(3)]
    stop = asyncio.Event()
    people = [new_id("usr") for _ in range(40)]
    bought, pace = [0], Pace()
    tasks = [
        asyncio.create_task(buy(office, events, people, n, stop, bought, pace))
        for n in range(BUYERS)
    ]
    tasks.append(asyncio.create_task(office.persist(stop)))
    lags: list[int] = []
    moved: list[int] = []
    try:
        for _ in range(checks):
            began_s, before = time.monotonic(), bought[0]
            result = await office.check()
            pace.check_s = time.monotonic() - began_s
            assert ([], []) == (result.violations, result.errors)
            lags.append(result.shards[0].lag)
            moved.append(bought[0] - before)
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    await office.drain_all()
    result = await office.check()
    assert ([], []) == (result.violations, result.errors)
    assert bought[0] == result.bookings
    assert bought[0] > checks
    assert sum(map(bool, moved)) > checks // 2
    assert any(lags)


@pytest.mark.parametrize("field", ["1.sold", "2.available"])
async def test_drift_is_found_live(office: BoxOffice, field: str) -> None:
    """The same sale with one wrong counter: found by the first check."""
    events = [await office.add_event() for _ in range(2)]
    stop = asyncio.Event()
    people = [new_id("usr") for _ in range(10)]
    tasks = [
        asyncio.create_task(buy(office, events, people, n, stop, [0], Pace()))
        for n in range(BUYERS)
    ]
    tasks.append(asyncio.create_task(office.persist(stop)))
    try:
        stock = keys.event(office.shard, events[1].event_id).stock
        await ask(office.redis, "HINCRBY", stock, field, 5)
        result = await office.check()
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    assert {events[1].event_id} == {violation.event_id for violation in result.violations}
    assert {int(field[0])} == {violation.tier_no for violation in result.violations}


async def buy(
    office: BoxOffice,
    events: list[Shown],
    people: list[str],
    seed: int,
    stop: asyncio.Event,
    bought: list[int],
    pace: Pace,
) -> None:
    """Order and cancel at random until told to stop."""
    chance = random.Random(seed)
    number = 0
    while not stop.is_set():
        number += 1
        event_id, user_id = chance.choice(events).event_id, chance.choice(people)
        booking_id = make_booking_id(event_id, user_id, f"{seed}-{number}")
        items = tuple((tier_no, chance.randint(1, 2)) for tier_no in (1, 2)[: chance.randint(1, 2)])
        reply = await office.engine.book(
            office.shard, Order(event_id, booking_id, user_id, "print", DETAIL, items)
        )
        if isinstance(reply, Booked):
            bought[0] += 1
            if chance.random() < 0.8:
                await office.engine.cancel(office.shard, Own(event_id, booking_id, user_id))
        await asyncio.sleep(pace.pause_s(chance))

"""F40: the check runs against a live sale and never mistakes movement for drift."""

from __future__ import annotations

import asyncio
import random

import pytest

from engine import keys
from engine.commands import Order, Own
from engine.ids import new_id
from engine.outcomes import Booked
from tests.checks import ask, make_booking_id
from tests.reconciler.conftest import DETAIL, BoxOffice, Shown

CHECKS = 50
BUYERS = 24
#: Bookings after which buyers pause twice as long.
SLOW_FROM = 1_000
#: Longest pause of a buyer between two bookings.
PAUSE_MAX_S = 0.1


@pytest.mark.timeout(240)
async def test_f40_reconcile_live(office: BoxOffice) -> None:
    """50 checks while buyers book and cancel, records are persisted and trimmed: 0 violations."""
    events = [await office.add_event() for _ in range(3)]
    stop = asyncio.Event()
    people = [new_id("usr") for _ in range(40)]
    bought = [0]
    tasks = [
        asyncio.create_task(buy(office, events, people, n, stop, bought)) for n in range(BUYERS)
    ]
    tasks.append(asyncio.create_task(persist(office, stop)))
    lags = []
    try:
        for _ in range(CHECKS):
            result = await office.check()
            assert ([], []) == (result.violations, result.errors)
            lags.append(result.shards[0].lag)
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    while await office.drain():
        pass
    result = await office.check()
    assert ([], []) == (result.violations, result.errors)
    assert bought[0] == result.bookings
    assert bought[0] > CHECKS
    assert any(lags)


@pytest.mark.parametrize("field", ["1.sold", "2.available"])
async def test_drift_is_found_live(office: BoxOffice, field: str) -> None:
    """The same sale with one wrong counter: found by the first check."""
    events = [await office.add_event() for _ in range(2)]
    stop = asyncio.Event()
    people = [new_id("usr") for _ in range(10)]
    tasks = [asyncio.create_task(buy(office, events, people, n, stop, [0])) for n in range(BUYERS)]
    tasks.append(asyncio.create_task(persist(office, stop)))
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
        # Paced, since each check reads all that was ever sold; on a machine that is busy with other
        # things, ever slower, or the sale would outgrow the checks.
        await asyncio.sleep(chance.random() * PAUSE_MAX_S * (1 + bought[0] / SLOW_FROM))


async def persist(office: BoxOffice, stop: asyncio.Event) -> None:
    """Persist and trim at once, in batches of changing size: the hardest case for a reader."""
    chance = random.Random(1)
    while not stop.is_set():
        await office.drain(records_max=chance.choice([1, 50, 1_000]), trim=True)
        await asyncio.sleep(chance.choice([0, 0, 0.02]))

"""The check of seats: silent while they are sold, loud about each way in which they can differ."""

from __future__ import annotations

import asyncio
import datetime as dt
import random

import pytest

from engine import keys
from engine.commands import Expire, Order, Own, Publish, ShiftSeats, TierStock
from engine.ids import hold_id, new_id
from engine.outcomes import Applied, Booked, Refused
from engine.seats import Section, best
from engine.verbs import EXPIRE
from store import seats
from store.sql import moment
from tests.checks import FAR_MS, ask, make_booking_id
from tests.reconciler.conftest import BoxOffice

SECTIONS = (Section(1, 1, (6, 6), "100000/000000"), Section(2, 1, (8,)))
CHECKS = 12


async def open_hall(office: BoxOffice) -> str:
    """Make a seated event in both stores."""
    event_id, organizer_id = new_id("evt"), new_id("org")
    now = dt.datetime.now(dt.UTC)
    database = office.database
    await database.execute("INSERT INTO organizers (id, name) VALUES ($1, 'Hall')", organizer_id)
    await database.execute(
        "INSERT INTO events (id, organizer_id, shard, name, timezone, currency, starts_at,"
        " ends_at, sale_opens_at, sale_closes_at, person_max)"
        " VALUES ($1, $2, $3, 'Show', 'UTC', 'EUR', $4, $4, to_timestamp(0.001), $5, 1000)",
        event_id,
        organizer_id,
        office.shard,
        now,
        moment(FAR_MS),
    )
    await database.execute(
        "INSERT INTO tiers VALUES ($1, 1, $2, 'Stalls', 2500, 20, 10)", event_id, new_id("tier")
    )
    rows = [
        seats.Section(
            event_id,
            section.section_no,
            section.tier_no,
            "A",
            ",".join(map(str, section.rows)),
            section.kinds,
            "[]",
        )
        for section in SECTIONS
    ]
    async with database.acquire() as connection:
        await seats.add(connection, event_id, rows)
    for section in SECTIONS:
        assert await office.engine.seat(office.shard, event_id, section) is None
    stock = (TierStock(20, 2500, 10),)
    command = Publish(event_id, "f", 1, FAR_MS, 1000, stock, len(SECTIONS))
    assert isinstance(await office.engine.publish(office.shard, command), Applied)
    return event_id


async def book(
    office: BoxOffice, event_id: str, user: str, key: str, wish: str
) -> Booked | Refused:
    """Book as many seats as the wish names, or two of the best."""
    quantity = 2 if wish.startswith("best") else wish.count("+") + 1
    own = make_booking_id(event_id, user, key)
    return await office.engine.book(
        office.shard, Order(event_id, own, user, "f", b"{}", ((1, quantity, wish),))
    )


@pytest.fixture
async def hall(office: BoxOffice) -> str:
    """Return an event with a seat in every state, half persisted."""
    event_id = await open_hall(office)
    users = [new_id("usr") for _ in range(4)]
    assert isinstance(await book(office, event_id, users[0], "a", "s1-2+s2-1"), Booked)
    assert isinstance(await book(office, event_id, users[1], "b", "s1-3"), Booked)
    own = Own(event_id, make_booking_id(event_id, users[1], "b"), users[1])
    await office.engine.block(office.shard, ShiftSeats(event_id, ("s2-7", "s2-8")))
    await office.engine.cancel(office.shard, own)
    await office.drain()
    assert isinstance(await book(office, event_id, users[2], "c", "s1-3"), Booked)
    await office.engine.unblock(office.shard, ShiftSeats(event_id, ("s2-8",)))
    held = Order(
        event_id,
        hold_id(event_id=event_id, user_id=users[3], idempotency_key="h"),
        users[3],
        "f",
        b"{}",
        ((1, 2, best()),),
        600_000,
    )
    assert not isinstance(await office.engine.hold(office.shard, held), Refused)
    return event_id


async def test_all_is_well(office: BoxOffice, hall: str) -> None:
    """No violation, before and after the rest is persisted."""
    assert set() == await office.codes()
    await office.drain()
    assert set() == await office.codes()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("ffsfff/ffffff", {"seat_differs", "seats_not_counted"}),
        ("fssfff/hhffff", {"seat_differs"}),
        ("fssfff/ffffff/f", {"section_differs"}),
        ("", {"section_differs"}),
    ],
)
async def test_i2_drifted_letters(
    office: BoxOffice, hall: str, status: str, expected: set[str]
) -> None:
    """I2: a letter that is not its owner's is found, and so is a section of another form."""
    key = keys.event(office.shard, hall).seats
    before = (await ask(office.redis, "HGET", key, "1.status")).decode()
    assert before != status
    await ask(office.redis, "HSET", key, "1.status", status)
    assert expected == await office.codes()


async def test_i3_drifted_tickets(office: BoxOffice, hall: str) -> None:
    """I3: a live booking's ticket without its seat, and a dead one's with it, are found."""
    await office.drain()
    await office.database.execute(
        "UPDATE tickets SET seat_id = 's1-12' WHERE event_id = $1 AND seat_id = 's2-1'", hall
    )
    assert {"tickets_differ"} == await office.codes()
    await office.database.execute(
        "UPDATE tickets SET seat_id = 's2-1' WHERE event_id = $1 AND seat_id = 's1-12'", hall
    )
    await office.database.execute(
        "UPDATE tickets SET is_live = true, seat_id = 's2-6' WHERE event_id = $1 AND NOT is_live",
        hall,
    )
    assert {"seat_kept"} == await office.codes()


async def test_i8_drifted_blocks(office: BoxOffice, hall: str) -> None:
    """I8: a blocked seat that no record blocked is found on both sides."""
    await office.drain()
    await office.database.execute("INSERT INTO blocked_seats VALUES ($1, 's2-3', 1, now())", hall)
    assert {"blocked_row_differs", "seat_differs"} <= await office.codes()


async def test_i8_drifted_sections(office: BoxOffice, hall: str) -> None:
    """I8: a section's row that is not what was published is found."""
    await office.database.execute("UPDATE sections SET kinds = '' WHERE event_id = $1", hall)
    assert {"section_differs"} == await office.codes()


async def test_f40_seats_reconcile_live(office: BoxOffice) -> None:
    """F40: checks while seats are held, sold, given back and blocked: 0 violations."""
    event_id = await open_hall(office)
    stop = asyncio.Event()
    people = [new_id("usr") for _ in range(6)]
    tasks = [asyncio.create_task(trade(office, event_id, people, n, stop)) for n in range(4)]
    tasks.append(asyncio.create_task(office.persist(stop)))
    try:
        for _ in range(CHECKS):
            result = await office.check()
            assert ([], []) == (result.violations, result.errors)
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    await office.drain_all()
    assert set() == await office.codes()


async def trade(
    office: BoxOffice, event_id: str, people: list[str], seed: int, stop: asyncio.Event
) -> None:
    """Do anything with seats until told to stop."""
    chance = random.Random(seed)
    engine, shard, number = office.engine, office.shard, 0
    all_seats = [f"s1-{n}" for n in range(1, 14) if n != 7] + [f"s2-{n}" for n in range(1, 9)]
    while not stop.is_set():
        number += 1
        user, key = chance.choice(people), f"{seed}-{number}"
        own = chance.sample(all_seats, chance.randint(1, 3))
        wish = chance.choice(["+".join(own), best(), best(accessible=True, split=True)])
        quantity = 2 if wish.startswith("best") else len(own)
        match chance.randrange(4):
            case 0:
                await book(office, event_id, user, key, wish)
                if chance.random() < 0.9:
                    own_booking = Own(event_id, make_booking_id(event_id, user, key), user)
                    await engine.cancel(shard, own_booking)
            case 1 | 2:
                hold = hold_id(event_id=event_id, user_id=user, idempotency_key=key)
                lines = ((1, quantity, wish),)
                order = Order(event_id, hold, user, "f", b"{}", lines, chance.choice([1, 60_000]))
                await engine.hold(shard, order)
                if chance.random() < 0.5:
                    await engine.release(shard, Own(event_id, hold, user))
                else:
                    await engine.confirm(shard, Own(event_id, hold, user))
                    booking = "bk_" + hold.removeprefix("hold_")
                    await engine.cancel(shard, Own(event_id, booking, user))
            case _:
                command = ShiftSeats(event_id, tuple(own))
                await chance.choice([engine.block, engine.unblock])(shard, command)
                await engine.shards[shard].submit(EXPIRE, Expire(event_id, 10, 60_000))
        await asyncio.sleep(chance.random() * 0.01)

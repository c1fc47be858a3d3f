"""Seats in every script that moves places: named ones, blocked ones, the map, and races."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from engine import records
from engine.engine import Engine
from engine.errors import BadCommand, EngineError
from engine.ids import new_id
from engine.outcomes import Booked, Held, Refused, SeatChanges, SeatMap, Swept
from engine.seats import best, named
from engine.status import Status
from engine.verbs import BOOK
from tests.checks import ask, journal, users
from tests.lua.hall import Hall
from tests.lua.world import dump


async def test_published_state(hall: Hall) -> None:
    """I1, I2: all seats of all sections are free once the event is published."""
    assert ["fffff/fffff", "ffff"] == await hall.statuses()
    await hall.check()


async def test_seats_are_booked(hall: Hall, user: str) -> None:
    """The named seats are sold, beside places of a general tier; the reply and row name them."""
    reply = await hall.book(user, (1, 3, named(["s1-3", "s1-11", "s2-4"])), (2, 2))
    assert isinstance(reply, Booked)
    assert [("s1-3", "s1-11", "s2-4"), ()] == [item.seat_ids for item in reply.items]
    assert ["ffsff/ffffs", "fffs"] == await hall.statuses()
    again = await hall.book(user, (1, 3, named(["s1-3", "s1-11", "s2-4"])), (2, 2))
    assert isinstance(again, Booked)
    assert reply._replace(is_replay=True, batch=None) == again._replace(batch=None)
    await hall.check()


async def test_cancel_frees_seats(hall: Hall, user: str) -> None:
    """I10: a cancelled booking's seats are free, and may be sold to somebody else."""
    await hall.book(user, (1, 1, "s1-1"))
    own = hall.own(user)
    await hall.engine.cancel(hall.shard, own)
    await hall.engine.cancel(hall.shard, own)
    assert ["fffff/fffff", "ffff"] == await hall.statuses()
    assert isinstance(await hall.book(new_id("usr"), (1, 1, "s1-1")), Booked)
    await hall.check()


async def test_hold_and_confirm_seats(hall: Hall, user: str) -> None:
    """A held seat is nobody else's, and sold once the hold is confirmed."""
    reply = await hall.hold(user, (1, 2, "s1-1+s1-2"))
    assert isinstance(reply, Held)
    assert ["hhfff/fffff", "ffff"] == await hall.statuses()
    other = await hall.book(new_id("usr"), (1, 2, "s1-3+s1-2"))
    assert Refused(Status.SEAT_TAKEN, {"line": 1, "seat_id": "s1-2"}) == other
    await hall.check()
    confirmed = await hall.engine.confirm(hall.shard, hall.own(user, held=True))
    assert isinstance(confirmed, Booked)
    assert ("s1-1", "s1-2") == confirmed.items[0].seat_ids
    assert ["ssfff/fffff", "ffff"] == await hall.statuses()
    await hall.check()


async def test_release_frees_seats(hall: Hall, user: str) -> None:
    """A released hold's seats are free; the second release changes nothing."""
    await hall.hold(user, (1, 2, "s1-1+s1-2"))
    for _ in range(2):
        await hall.engine.release(hall.shard, hall.own(user, held=True))
        assert ["fffff/fffff", "ffff"] == await hall.statuses()
    await hall.check()


async def test_f35_expired_seats(hall: Hall, user: str) -> None:
    """F35: seats of an overdue hold come back by the sweep; a late confirm takes them anew."""
    await hall.hold(user, (1, 2, "s1-1+s1-2"), ttl_ms=1)
    await asyncio.sleep(0.002)
    assert Swept(1, 0) == await hall.expire()
    assert ["fffff/fffff", "ffff"] == await hall.statuses()
    reply = await hall.engine.confirm(hall.shard, hall.own(user, held=True))
    assert isinstance(reply, Booked)
    assert ["ssfff/fffff", "ffff"] == await hall.statuses()
    await hall.check()


async def test_f35_late_confirm_of_a_sold_seat(hall: Hall, user: str) -> None:
    """F35: a late confirm fails if one of its seats is sold, though enough others are free."""
    await hall.hold(user, (1, 2, "s1-1+s1-2"), ttl_ms=1)
    await asyncio.sleep(0.002)
    # The sale ends the overdue hold itself: nobody waits for the sweeper.
    assert isinstance(await hall.book(new_id("usr"), (1, 1, "s1-2")), Booked)
    reply = await hall.engine.confirm(hall.shard, hall.own(user, held=True))
    assert isinstance(reply, Refused)
    assert Status.HOLD_EXPIRED is reply.status
    assert ["fsfff/fffff", "ffff"] == await hall.statuses()
    await hall.check()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([(1, 1, "s1-6")], (1, "s1-6")),
        ([(1, 1, "s1-12")], (1, "s1-12")),
        ([(1, 1, "s3-1")], (1, "s3-1")),
        ([(2, 1), (1, 2, "s1-1+s2-5")], (2, "s2-5")),
        ([(2, 1, "s1-1")], (1, "s1-1")),
    ],
    ids=["row end", "behind the end", "no section", "second line", "other tier"],
)
async def test_unknown_seat(
    hall: Hall, user: str, lines: list[tuple[int, int, str]], expected: tuple[int, str]
) -> None:
    """What is no seat of the line's tier is refused by name, and nothing changes."""
    before = await dump(hall.redis, hall.shard)
    reply = await hall.book(user, *lines)
    assert Refused(Status.UNKNOWN_SEAT, {"line": expected[0], "seat_id": expected[1]}) == reply
    assert before == await dump(hall.redis, hall.shard)


@pytest.mark.parametrize(
    "wish", ["s1-1", "s1-1+s1-1", "s01-1+s1-2", "s1-1+x", "best;", "", 's1-1+s1-2"', "s1-1+s1-2,"]
)
async def test_bad_wish(hall: Hall, user: str, wish: str) -> None:
    """S23: a wish that is none, or not for the quantity, never reaches Redis."""
    with pytest.raises(BadCommand):
        await hall.book(user, (1, 2, wish))


@pytest.mark.parametrize("word", ["2:s1-1+s1-1", "2:s1-1", "1:s1-1+s1-2", "2:s01-1+s1-2"])
async def test_script_checks_wishes_too(hall: Hall, user: str, word: str) -> None:
    """The script itself refuses doubled, missing or misspelt seats, whoever calls it."""
    order = hall.order(user, (1, 1))
    shape = ["1 1 3 0 0", "0", f"1 0 ~ 1:{word}"]
    args = [1, hall.event, *shape, order.id, user, "f", "-"]
    reign = hall.engine.reign(hall.shard)
    names = BOOK.keys.names(hall.shard, reign.epoch, [hall.event])
    reply = await ask(hall.redis, "EVALSHA", reign.script_shas["book"], len(names), *names, *args)
    assert reply.startswith(b"UNKNOWN_SEAT ")
    await hall.check()


async def test_seat_map_changes(hall: Hall, user: str) -> None:
    """The map tells what changed since a version, and all of it where that is too long ago."""
    await hall.book(user, (1, 2, "s1-1+s2-1"))
    await hall.shift("block", "s1-5")
    changes = await hall.engine.seats(hall.shard, hall.event, since=0)
    assert isinstance(changes, SeatChanges)
    assert (2, ((1, "s", ("s1-1", "s2-1")), (2, "b", ("s1-5",)))) == (
        changes.version,
        changes.changes,
    )
    none = await hall.engine.seats(hall.shard, hall.event, since=2)
    assert isinstance(none, SeatChanges)
    assert () == none.changes
    for since in (3, -1):
        whole = await hall.engine.seats(hall.shard, hall.event, since=since)
        assert isinstance(whole, SeatMap)
    for number in range(260):
        await hall.shift("unblock" if number % 2 == 0 else "block", "s1-5")
        await hall.shift("block" if number % 2 == 0 else "unblock", "s1-4")
    whole = await hall.engine.seats(hall.shard, hall.event, since=2)
    assert isinstance(whole, SeatMap)
    last = await hall.engine.seats(hall.shard, hall.event, since=whole.version - 500)
    assert isinstance(last, SeatChanges)
    assert list(range(whole.version - 499, whole.version + 1)) == [c[0] for c in last.changes]
    # The ring is bounded, however long the sale.
    assert 1024 + 20 > await ask(hall.redis, "HLEN", hall.names.seats)


async def test_seats_of_an_event_without(engine: Engine, shard: int) -> None:
    """An event that is not published has no map."""
    reply = await engine.seats(shard, new_id("evt"))
    assert Refused(Status.NOT_ON_SALE, {}) == reply


async def test_f37_race_for_a_seat(hall: Hall) -> None:
    """I3: of 100 buyers of one seat, by booking or hold, exactly one gets it."""
    people = users(100)
    replies = await asyncio.gather(
        *(
            (hall.book if n % 2 else hall.hold)(person, (1, 1, "s1-3"))
            for n, person in enumerate(people)
        )
    )
    won = [reply for reply in replies if not isinstance(reply, Refused)]
    assert 1 == len(won)
    assert {Status.SEAT_TAKEN} == {r.status for r in replies if isinstance(r, Refused)}
    await hall.check()


async def test_f37_race_for_the_best(hall: Hall) -> None:
    """I3: buyers of the best pair in parallel get pairs that nobody else has."""
    replies = await asyncio.gather(*(hall.book(p, (1, 2, best())) for p in users(20)))
    won = [reply for reply in replies if isinstance(reply, Booked)]
    seats = Counter(seat for reply in won for seat in reply.items[0].seat_ids)
    assert {1} == set(seats.values())
    # Row 1 has 3 seats that are not kept back, row 2 has 5, section 2 has 4: one pair, two, two.
    assert 5 == len(won)
    await hall.check()


async def test_f22_drifted_seat(hall: Hall, user: str) -> None:
    """F22: a seat that is not where its booking is stops the script before its first write."""
    await hall.book(user, (1, 1, "s1-3"))
    await ask(hall.redis, "HSET", hall.names.seats, "1.status", "fffff/fffff")
    before = await dump(hall.redis, hall.shard)
    with pytest.raises(EngineError, match="DRIFT seat s1-3"):
        await hall.engine.cancel(hall.shard, hall.own(user))
    assert before == await dump(hall.redis, hall.shard)


async def test_f22_wrong_type_of_seats(hall: Hall, user: str) -> None:
    """F22: a key of another type under `seats` fails every seat command and changes nothing."""
    await hall.hold(user, (1, 1, "s1-1"))
    await hall.book(user, (1, 1, "s1-2"), key="b")
    await ask(hall.redis, "DEL", hall.names.seats)
    await ask(hall.redis, "SET", hall.names.seats, "x")
    before = await dump(hall.redis, hall.shard)
    for call in (
        hall.book(user, (1, 1, "s1-3"), key="c"),
        hall.book(user, (1, 1), key="d"),
        hall.hold(user, (1, 1, best()), key="c"),
        hall.shift("block", "s1-4"),
        hall.engine.cancel(hall.shard, hall.own(user, key="b")),
        hall.engine.confirm(hall.shard, hall.own(user, held=True)),
        hall.engine.release(hall.shard, hall.own(user, held=True)),
        hall.engine.seats(hall.shard, hall.event),
    ):
        with pytest.raises(EngineError, match="WRONGTYPE"):
            await call
    assert before == await dump(hall.redis, hall.shard)


async def test_random_life(hall: Hall) -> None:
    """I1, I2, I3: seats, counters, holds and bookings agree through any order of commands."""
    chance = random.Random(7)
    people = users(4)
    seats = [f"s1-{n}" for n in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11)] + [f"s2-{n}" for n in range(1, 5)]
    for step in range(400):
        user, key = chance.choice(people), str(chance.randrange(25))
        own = chance.sample(seats, chance.randint(1, 3))
        wish = chance.choice([named(own), named(own), best(), best(split=True, accessible=True)])
        shard = hall.shard
        match chance.randrange(8):
            case 0 | 1:
                await hall.book(user, (1, len(own), wish), key=key)
            case 2 | 3:
                await hall.hold(
                    user, (1, len(own), wish), key=key, ttl_ms=chance.choice([1, 60_000])
                )
            case 4:
                await hall.engine.confirm(shard, hall.own(user, key=key, held=True))
            case 5:
                await hall.engine.release(shard, hall.own(user, key=key, held=True))
            case 6:
                await hall.engine.cancel(shard, hall.own(user, key=key))
            case _:
                await hall.shift(chance.choice(["block", "unblock"]), own[0])
                await hall.expire()
        if step % 5 == 0:
            await hall.check()
    await hall.check()
    kinds = Counter(type(entry.record) for entry in await journal(hall.redis, hall.shard))
    for kind in (
        records.Booked,
        records.Held,
        records.Confirmed,
        records.Released,
        records.Expired,
        records.Cancelled,
        records.Blocked,
        records.Unblocked,
    ):
        assert kinds[kind] > 0

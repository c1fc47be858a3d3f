"""Best available: against a brute-force oracle on small halls, and counted on a stadium."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from engine.engine import Engine
from engine.ids import new_id
from engine.outcomes import Booked, Refused
from engine.seats import Section, best, seat_id
from engine.status import Status
from tests.checks import ask, users
from tests.lua.hall import Hall

#: What best available may ask of Redis, on any hall: two more commands than a general place.
SEAT_COMMANDS_MAX = {"hmget": 1, "hset": 1}


@pytest.fixture
async def hall(engine: Engine, redis: Redis, shard: int) -> Hall:
    """Return a hall that is not open yet."""
    return Hall(engine, redis, shard)


Choice = tuple[tuple[Any, ...], list[str]]


def choices(sections: list[tuple[str, str]], quantity: int, *, accessible: bool) -> list[Choice]:
    """
    Return every contiguous choice with its rank, lowest best, by trying them all.

    The rank: whether a single seat is left alone, section, row, distance from the row's middle.
    """
    found: list[Choice] = []
    for section_no, (status, kinds) in enumerate(sections, start=1):
        first = 0
        for row_no, row in enumerate(status.split("/")):
            own = kinds[first : first + len(row)] if kinds else "0" * len(row)

            def is_free(at: int, row: str = row, own: str = own) -> bool:
                inside = 0 <= at < len(row)
                return inside and row[at] == "f" and (accessible or own[at] not in "1357")

            for start in range(len(row) - quantity + 1):
                window = range(start, start + quantity)
                if not all(map(is_free, window)):
                    continue
                if accessible and not any(own[at] in "1357" for at in window):
                    continue
                left, right = start - 1, start + quantity
                orphan = (is_free(left) and not is_free(left - 1)) or (
                    is_free(right) and not is_free(right + 1)
                )
                far = abs((start + (quantity - 1) / 2) - (len(row) - 1) / 2)
                seats = [seat_id(section_no, first + at + 1) for at in window]
                found.append(((orphan, section_no, row_no, far, start), seats))
            first += len(row) + 1
    return sorted(found)


rows = st.lists(st.text("ffffsh", min_size=1, max_size=9), min_size=1, max_size=4)


@st.composite
def halls(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Draw sections: status and kinds."""
    sections = []
    for status in draw(st.lists(rows.map("/".join), min_size=1, max_size=3)):
        kinds = ""
        if draw(st.booleans()):
            kinds = "".join(
                "/" if letter == "/" else draw(st.sampled_from("000124")) for letter in status
            )
        sections.append((status, kinds))
    return sections


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(sections=halls(), quantity=st.integers(1, 5), accessible=st.booleans(), split=st.booleans())
async def test_best_is_the_oracles(
    engine: Engine,
    redis: Redis,
    shard: int,
    sections: list[tuple[str, str]],
    quantity: int,
    accessible: bool,
    split: bool,
) -> None:
    """The choice is contiguous, orphan-free if any is, the nearest; none only if none is."""
    hall = Hall(engine, redis, shard)
    await hall.open(
        *(
            Section(number, 1, tuple(map(len, status.split("/"))), kinds)
            for number, (status, kinds) in enumerate(sections, start=1)
        )
    )
    # Set the scene by hand: what is taken counts as sold.
    for number, (status, _) in enumerate(sections, start=1):
        await ask(redis, "HSET", hall.names.seats, f"{number}.status", status)
    free = sum(status.count("f") for status, _ in sections)
    await ask(
        redis, "HSET", hall.names.stock, "1.available", free, "1.sold", hall.capacity[1] - free
    )
    reply = await hall.book(new_id("usr"), (1, quantity, best(split=split, accessible=accessible)))
    expected = choices(sections, quantity, accessible=accessible)
    if isinstance(reply, Booked):
        got = reply.items[0].seat_ids
        if expected:
            assert expected[0][1] == list(got)
        else:
            assert split
            assert quantity == len(set(got))
            kinds = {
                seat_id(number, at): (status[at - 1], (k or "0" * len(status))[at - 1])
                for number, (status, k) in enumerate(sections, start=1)
                for at in range(1, len(status) + 1)
            }
            assert all(kinds[seat][0] == "f" for seat in got)
            access = [seat for seat in got if kinds[seat][1] in "1357"]
            assert bool(access) == accessible
    else:
        assert [] == expected
        assert reply.status in (Status.SOLD_OUT, Status.NOT_TOGETHER)
        assert (free < quantity) == (reply.status is Status.SOLD_OUT)
        if split and not accessible:
            plain = sum(
                letter == "f" and (not k or k[at] not in "1357")
                for status, k in sections
                for at, letter in enumerate(status)
            )
            assert plain < quantity


async def test_not_together(hall: Hall, user: str) -> None:
    """Enough seats apart are no seats together; with `split` they are had, in large pieces."""
    await hall.open(Section(1, 1, (3, 2, 4)))
    await hall.book(user, (1, 1, "s1-9"))  # Row 3 keeps one seat left of it and two right.
    reply = await hall.book(user, (1, 4, best()), key="b")
    assert Refused(Status.NOT_TOGETHER, {"line": 1, "available": 8}) == reply
    split = await hall.book(user, (1, 4, best(split=True)), key="c")
    assert isinstance(split, Booked)
    # Of the rest, only seat 8 leaves nobody alone.
    assert ("s1-1", "s1-2", "s1-3", "s1-8") == split.items[0].seat_ids
    await hall.check()


async def test_seated_tier_without_wish(hall: Hall, user: str) -> None:
    """A quantity of a seated tier is the best available: no place of it is ever without a seat."""
    await hall.open(Section(1, 1, (5,)))
    reply = await hall.book(user, (1, 1))
    assert isinstance(reply, Booked)
    assert ("s1-3",) == reply.items[0].seat_ids
    await hall.check()


async def test_overdue_holds_make_room(hall: Hall, user: str) -> None:
    """Seats side by side that only overdue holds take are found without the sweeper."""
    await hall.open(Section(1, 1, (4,)))
    await hall.hold(user, (1, 1, "s1-2"), ttl_ms=1)
    await asyncio.sleep(0.002)
    reply = await hall.book(user, (1, 3, best()), key="b")
    assert isinstance(reply, Booked)
    await hall.check()


async def test_f21_stadium(hall: Hall) -> None:
    """F21: on 60 000 seats, full or empty, the stated number of commands is never exceeded."""
    await hall.open(*(Section(number, 1, (40,) * 25) for number in range(1, 61)))
    empty = "/".join(["f" * 40] * 25)
    # Every fourth seat sold: any pair leaves a seat alone, so that all runs are looked at.
    combed = "/".join(["fffs" * 10] * 25)
    last = "/".join(["s" * 40] * 25)
    for scene, quantity in product(
        ([empty] * 60, [combed] * 60, [last] * 59 + [empty], [last] * 60), (1, 2, 10)
    ):
        fields = [w for n, text in enumerate(scene, 1) for w in (f"{n}.status", text)]
        await ask(hall.redis, "HSET", hall.names.seats, *fields)
        [user] = users(1)
        await ask(hall.redis, "CONFIG", "RESETSTAT")
        reply = await hall.book(user, (1, quantity, best()))
        stats = await ask(hall.redis, "INFO", "commandstats")
        calls = {
            name: stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("hmget", "hset")
        }
        # A general place takes 4 HMGET (door, bookings, persons, stock) and 4 HSET at most.
        assert calls["hmget"] <= 4 + SEAT_COMMANDS_MAX["hmget"]
        assert calls["hset"] <= 4 + SEAT_COMMANDS_MAX["hset"]
        total = sum(row["calls"] for name, row in stats.items() if name.startswith("cmdstat_"))
        assert total <= 16
        if scene[0] == empty:
            assert isinstance(reply, Booked)


async def test_general_places_never_touch_seats(hall: Hall, user: str) -> None:
    """A general tier pays nothing for seats: no script of its life as much as reads their key."""
    await hall.open(general=(5,))
    await ask(hall.redis, "SET", hall.names.seats, "of a type that no command on it would bear")
    assert isinstance(await hall.book(user, (1, 2)), Booked)
    await hall.hold(user, (1, 1))
    await hall.hold(user, (1, 1), key="k-2")
    await hall.engine.release(hall.shard, hall.own(user, key="k-2", held=True))
    assert isinstance(await hall.engine.confirm(hall.shard, hall.own(user, held=True)), Booked)
    await hall.engine.cancel(hall.shard, hall.own(user))

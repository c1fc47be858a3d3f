"""Limits of `hold` and `join` beside the sale's own: attempts, open holds, scarce places."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ResponseError

from engine import keys
from engine.calls import Bounds, Limit
from engine.ids import new_id
from tests.checks import ask, check_consistent, snapshot
from tests.lua.waitlist import Queue, Waiter
from tests.lua.world import Command, Desk, Till

DAY = Limit(3, 86_400_000)
LIFE_MS = 100_000
TTL_MS = 50_000
#: Two holds of a person, three of an address.
FEW = Bounds(2, 3, LIFE_MS, 0, 1)


async def hold(till: Till, *commands: Command, origin: str = "", **given: Any) -> list[list[Any]]:
    """Hold for all commands in one call, all from one address."""
    desk = Desk(till)
    orders = [
        one.order(till.event, desk.hold_id(one), TTL_MS)._replace(origin=origin) for one in commands
    ]
    return await till.send("hold", *orders, **given)


def tries(user: str, count: int, first: int = 0) -> list[Command]:
    """Return as many different attempts of a person."""
    return [Command(user, (1, 1), key=f"k{first + number}") for number in range(count)]


async def test_attempts_count_at_every_door(till: Till, user: str) -> None:
    """Who tries here and there has one bucket; what is known is told again and costs none (I6)."""
    await till.publish(person_max=9)
    first, second = tries(user, 2)
    queue = Queue(till)
    order = Command(user, (1, 1), key="b").order(till.event, f"bk_{'b':0>26}")
    assert "HELD" == (await hold(till, first, limit=DAY))[0][0]
    assert "BOOKED" == (await till.send("book", order, limit=DAY))[0][0]
    waiter = Waiter(till.event, 1, user_id=user)
    given = {"attempts_max": DAY.attempts_max, "window_ms": DAY.window_ms}
    assert "PLACES_AVAILABLE" == (await queue.send_join(waiter, **given))[0]
    [refusal] = await hold(till, second, limit=DAY)
    assert ["RATE_LIMITED", 3, 86_400_000] == refusal[:3]
    again = Command(user, (1, 1), key="c").order(till.event, f"bk_{'c':0>26}")
    assert "RATE_LIMITED" == (await till.send("book", again, limit=DAY))[0][0]
    assert "RATE_LIMITED" == (await queue.send_join(waiter, **given))[0]
    assert "REPLAYED" == (await hold(till, first, limit=DAY))[0][0]
    assert "HELD" == (await hold(till, *tries(new_id("usr"), 1), limit=DAY))[0][0]


async def test_a_limit_that_is_none_is_an_error(till: Till, user: str) -> None:
    """F22: a limit or bounds that are no figures change nothing."""
    await till.publish()
    before = await snapshot(till.redis, till.shard)
    with pytest.raises(ResponseError, match="BADARG"):
        await Queue(till).send_join(Waiter(till.event, 1), attempts_max=5, window_ms=1)
    for bounds in (Bounds(1, 1, 0, 0, 1), Bounds(1, 1, 1, 101, 1)):
        with pytest.raises(ResponseError, match="BADARG"):
            await hold(till, *tries(user, 1), bounds=bounds)
    assert before == await snapshot(till.redis, till.shard)


@pytest.mark.parametrize("together", [True, False])
async def test_open_holds_of_a_person(till: Till, user: str, together: bool) -> None:
    """A person has so many holds open; one that is over or a booking makes room for the next."""
    await till.publish(person_max=9)
    desk, commands = Desk(till), tries(user, 6)
    if together:
        replies = await hold(till, *commands[:3], bounds=FEW)
    else:
        replies = [r for one in commands[:3] for r in await hold(till, one, bounds=FEW)]
    assert ["HELD", "HELD", "TOO_MANY_HOLDS"] == [reply[0] for reply in replies]
    assert ["person", 2] == replies[2][1:3]
    assert TTL_MS - 20_000 < replies[2][3] <= TTL_MS
    assert "HELD" == (await hold(till, *tries(new_id("usr"), 1), bounds=FEW))[0][0]
    await desk.on("release", commands[0])
    assert "HELD" == (await hold(till, commands[2], bounds=FEW))[0][0]
    await desk.on("confirm", commands[1])
    assert "HELD" == (await hold(till, commands[3], bounds=FEW))[0][0]
    assert "TOO_MANY_HOLDS" == (await hold(till, commands[4], bounds=FEW))[0][0]
    await Queue(till).overdue(desk.hold_id(commands[3]))
    assert "HELD" == (await hold(till, commands[4], bounds=FEW))[0][0]
    assert "REPLAYED" == (await hold(till, commands[4], bounds=FEW))[0][0]
    await check_consistent(till.redis, till.shard)


async def test_open_holds_of_an_address(till: Till) -> None:
    """Forty accounts at one address hold no more than an address may; others are free."""
    await till.publish(tiers=[(400, 100, 10)], person_max=10)
    crowd = [Command(new_id("usr"), (1, 10)) for _ in range(40)]
    replies = await hold(till, *crowd, origin="home", bounds=FEW)
    assert ["HELD"] * 3 + ["TOO_MANY_HOLDS"] * 37 == [reply[0] for reply in replies]
    assert ["address", 3] == replies[-1][1:3]
    assert (400, 370, 30, 0) == await till.counters()
    assert "HELD" == (await hold(till, crowd[5], origin="away", bounds=FEW))[0][0]
    # Where nobody knows whence, nobody is counted.
    replies = await hold(till, *crowd[6:11], bounds=FEW)
    assert {"HELD"} == {reply[0] for reply in replies}


async def test_bounds_are_each_events_own(till: Till, user: str) -> None:
    """Holds of one event leave those of another alone."""
    other = new_id("evt")
    await till.publish(person_max=9)
    await till.publish(other, person_max=9)
    await hold(till, *tries(user, 2), bounds=FEW)
    elsewhere = Command(user, (1, 1), event_id=other, key="z")
    [reply] = await hold(till, elsewhere, bounds=FEW)
    assert "HELD" == reply[0]


async def test_no_bounds(till: Till, user: str) -> None:
    """0 is as many as one likes."""
    await till.publish(person_max=9)
    for bounds in (None, Bounds(0, 0, LIFE_MS, 0, 1)):
        commands = tries(user, 4, first=int(bounds is None) * 4)
        assert {"HELD"} == {r[0] for r in await hold(till, *commands, origin="o", bounds=bounds)}
    assert [{}, {}] == [await ask(till.redis, "HGETALL", k) for k in keys.opened(till.shard)]


async def test_what_is_noted_dies_and_costs_no_log(till: Till, user: str) -> None:
    """Ids of open holds alone are noted, for this server, until no hold of that time can live."""
    await till.publish(person_max=9)
    for number in range(9):
        [command] = tries(user, 1, first=number)
        await hold(till, command, origin="home", bounds=FEW)
        await Desk(till).on("release", command)
    found = {
        name: value.split()
        for key in keys.opened(till.shard)
        for name, value in (await ask(till.redis, "HGETALL", key)).items()
    }
    assert {f"{till.event}/{user}".encode(), f"{till.event}@home".encode()} == set(found)
    assert {1} == {len(ids) for ids in found.values()}
    lives = [await ask(till.redis, "PTTL", key) for key in keys.opened(till.shard)]
    assert 0 < max(lives) <= 2 * LIFE_MS


async def test_holds_are_shorter_where_places_are_scarce(till: Till, user: str) -> None:
    """Below the share that is told, a hold lasts the less the less is left, down to the least."""
    await till.publish(tiers=[(100, 100, 10)], person_max=100)
    scarce = Bounds(0, 0, LIFE_MS, 40, 5_000)

    async def lasts(key: str) -> int:
        [reply] = await hold(till, Command(user, (1, 1), key=key), bounds=scarce)
        return int(reply[5] - reply[3])

    assert TTL_MS == await lasts("a")
    for number in range(7):
        await till.book(Command(user, (1, 10), key=str(number)))
    assert TTL_MS * 29 // 40 == await lasts("b")
    await till.book(Command(user, (1, 10), key="x"), Command(user, (1, 10), key="y"))
    assert TTL_MS * 8 // 40 == await lasts("c")
    await till.book(Command(user, (1, 6), key="z"))
    assert 5_000 == await lasts("d")
    # Nor is one extended beyond that.
    desk, last = Desk(till), Command(user, (1, 1), key="d")
    assert "EXTENSION_LIMIT" == (await desk.on("extend", last, 5_000, LIFE_MS, 40, 5_000))[0]
    assert "EXTENDED" == (await desk.on("extend", last, 60_000, LIFE_MS))[0]


async def test_f58_open_holds_of_a_clock_set_back(till: Till, user: str) -> None:
    """F58: who has too many holds is told to wait no longer than holds last."""
    await till.publish(person_max=9)
    first, second, third = tries(user, 3)
    assert ["HELD", "HELD"] == [r[0] for r in await hold(till, first, second, bounds=FEW)]
    names = keys.event(till.shard, till.event)
    for own_id in (Desk(till).hold_id(one) for one in (first, second)):
        words = (await ask(till.redis, "HGET", names.holds, own_id)).split(b" ", 11)
        for at in (4, 8):
            words[at] = b"%d" % (int(words[at]) + 3_600_000)
        await ask(till.redis, "HSET", names.holds, own_id, b" ".join(words))
    [[status, scope, most, retry_after_ms]] = await hold(till, third, bounds=FEW)
    assert ("TOO_MANY_HOLDS", "person", 2) == (status, scope, most)
    assert retry_after_ms == TTL_MS

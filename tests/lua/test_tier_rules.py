"""Rules of a tier: its own sale window, places per order, places per person over all orders."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from redis.exceptions import ResponseError

from engine import keys
from engine.records import Published
from tests.checks import FAR_MS, check_consistent, journal, persons, rows_of, snapshot
from tests.lua.waitlist import Queue, Waiter
from tests.lua.world import Command, Desk, Till

#: Tier 1: 2..4 places per order, 5 per person; tiers 2 and 3 have no rule.
LIMITED = (1, 2, 5, 0, 0)


async def counts(till: Till) -> dict[str, int]:
    """Return what `persons` counts, zeros left out."""
    return await persons(till.redis, till.shard, till.event)


async def test_rules_are_loaded_and_published(till: Till) -> None:
    """Rules stand in the stock and in the record, and only those of tiers that have any."""
    await till.publish(rules=[(2, 2, 5, 7, 9)])
    fields = await rows_of(till.redis, keys.event(till.shard, till.event).stock)
    names = ("order_min", "person_max", "opens_at_ms", "closes_at_ms")
    found = {key.decode(): int(value) for key, value in fields.items() if key[1:2] == b"."}
    expected = dict(zip((f"2.{name}" for name in names), (2, 5, 7, 9), strict=True))
    assert expected == {k: v for k, v in found.items() if k.partition(".")[2] in names}
    [entry] = await journal(till.redis, till.shard)
    assert isinstance(entry.record, Published)
    rules = [(t.order_min, t.person_max, t.opens_at_ms, t.closes_at_ms) for t in entry.record.tiers]
    assert [(0, 0, 0, 0), (2, 5, 7, 9), (0, 0, 0, 0)] == rules


@pytest.mark.parametrize(
    "rules",
    [
        [(4, 0, 0, 0, 0)],
        [(0, 0, 0, 0, 0)],
        [(1, 5, 0, 0, 0)],
        [(1, 1, 0, 9, 9)],
        [(1, 1, 0, 0, 0), (1, 1, 0, 0, 0)],
        [(1, 1, 0, 0)],
    ],
    ids=str,
)
async def test_bad_rules(till: Till, rules: Any) -> None:
    """Rules outside the header's ranges are an error that changes nothing."""
    before = await snapshot(till.redis, till.shard)
    with pytest.raises(ResponseError, match="BADARG"):
        await till.publish(rules=rules)
    assert before == await snapshot(till.redis, till.shard)


@pytest.mark.parametrize("verb", ["book", "hold"])
async def test_window_of_a_tier(till: Till, user: str, verb: str) -> None:
    """A tier is sold within its own window alone; the refusal names its line."""
    now_ms = await till.now_ms()
    await till.publish(rules=[(1, 0, 0, FAR_MS - 9, 0), (2, 0, 0, 0, now_ms)])
    call = till.book if verb == "book" else Desk(till).hold
    assert [["SALE_NOT_OPEN", FAR_MS - 9, 2]] == await call(Command(user, (3, 1), (1, 1)))
    assert [["SALE_CLOSED", now_ms, 1]] == await call(Command(user, (2, 1)))
    assert [] == list(await counts(till))


async def test_fewest_places_of_an_order(till: Till, user: str) -> None:
    """An order has at least the places that its tier asks for; other tiers do not care."""
    await till.publish(rules=[LIMITED])
    assert [["LIMIT_REACHED", "order_min", 2, 0, 2]] == await till.book(
        Command(user, (2, 1), (1, 1))
    )
    [reply] = await till.book(Command(user, (2, 1), (1, 2)))
    assert "BOOKED" == reply[0]


async def test_i12_limit_per_person_and_tier(till: Till, user: str) -> None:
    """I12: live holds and bookings of a tier count together, over all orders of a person."""
    await till.publish(person_max=20, rules=[LIMITED])
    desk = Desk(till)
    held, booked = Command(user, (1, 2), key="a"), Command(user, (1, 2), (2, 1), key="b")
    await desk.hold(held)
    await till.book(booked)
    assert {user: 5, f"{user}/1": 4} == await counts(till)
    again = Command(user, (1, 2), key="c")
    assert [["LIMIT_REACHED", "tier", 5, 4, 1]] == await till.book(again)
    assert [["LIMIT_REACHED", "tier", 5, 4, 1]] == await desk.hold(again)
    await desk.on("confirm", held)
    assert {user: 5, f"{user}/1": 4} == await counts(till)
    await till.cancel(booked)
    assert {user: 2, f"{user}/1": 2} == await counts(till)
    assert "BOOKED" == (await till.book(again))[0][0]
    await check_consistent(till.redis, till.shard)


async def test_i12_a_hold_that_ends_gives_its_count_back(till: Till, user: str) -> None:
    """I12: released and expired holds no longer count, and a late confirm is checked anew."""
    await till.publish(person_max=20, rules=[LIMITED])
    desk = Desk(till)
    given, late = Command(user, (1, 2), key="a"), Command(user, (1, 2), key="b")
    await desk.hold(given)
    await desk.on("release", given)
    assert {} == await counts(till)
    await desk.hold(late, ttl_ms=1)
    await asyncio.sleep(0.01)
    await desk.expire()
    assert {} == await counts(till)
    await till.book(Command(user, (1, 4), key="c"))
    reply = await desk.on("confirm", late)
    assert ["LIMIT_REACHED", "tier", 5, 4, 1] == reply
    assert {user: 4, f"{user}/1": 4} == await counts(till)
    await check_consistent(till.redis, till.shard)


async def test_i12_race_within_a_batch(till: Till, user: str) -> None:
    """I12: orders of one person in one batch and in parallel never have more than the limit."""
    await till.publish(tiers=[(100, 1, 10)], person_max=100, rules=[LIMITED])
    orders = [Command(user, (1, 2), key=str(n)) for n in range(40)]
    batches = [till.book(*orders[n : n + 4]) for n in range(0, 40, 4)]
    replies = [reply for batch in await asyncio.gather(*batches) for reply in batch]
    assert Counter({"BOOKED": 2, "LIMIT_REACHED": 38}) == Counter(reply[0] for reply in replies)
    assert {user: 4, f"{user}/1": 4} == await counts(till)
    await check_consistent(till.redis, till.shard)


async def test_tiers_without_limit_are_not_counted(till: Till, user: str) -> None:
    """Where no tier has a limit per person, a person stays one field."""
    await till.publish(rules=[(1, 2, 0, 0, 0)])
    await till.book(Command(user, (1, 2), (2, 1)))
    assert {user: 3} == await counts(till)


async def test_waitlist_keeps_to_the_rules(till: Till, user: str) -> None:
    """I9, I12: who may not have the places may not wait for them, and is never offered them."""
    await till.publish(tiers=[(4, 2500, 4)], person_max=10, rules=[(1, 2, 5, 0, 0)])
    queue = Queue(till)
    other = Command("usr_other", (1, 4))
    await till.book(other)
    few = Waiter(till.event, 1, user_id=user)
    assert ["LIMIT_REACHED", "order_min", 2, 0] == await queue.send_join(few)
    waiter = await queue.join(4)
    await till.cancel(other)
    assert {waiter.user_id: 4, f"{waiter.user_id}/1": 4} == await counts(till)
    more = Waiter(till.event, 2, user_id=waiter.user_id)
    assert ["LIMIT_REACHED", "tier", 5, 4] == await queue.send_join(more)

"""What an event's end, a closed sale and a closed tier mean at every door that sells."""

from __future__ import annotations

from typing import Any

import pytest

from engine import keys
from engine.ids import new_id
from engine.records import Offered, Published, Rules
from tests.checks import FAR_MS, ask, check_consistent, journal
from tests.lua.waitlist import Queue, Waiter, full
from tests.lua.world import LIFE_MAX_MS, TTL_MS, Command, Desk, Till

OVER = {"ends_at_ms": 1}


async def test_the_end_is_loaded_and_published(till: Till) -> None:
    """The rule stands in the stock and in the record."""
    await till.publish(own_rules=f"ends_at_ms={FAR_MS},after_end=t2t")
    assert (str(FAR_MS), "t2t") == (await till.field("ends_at_ms"), await till.field("after_end"))
    [entry] = await journal(till.redis, till.shard)
    assert isinstance(entry.record, Published)
    assert Rules(ends_at_ms=FAR_MS, after_end="t2t") == entry.record.rules


@pytest.mark.parametrize("verb", ["book", "hold"])
async def test_nothing_is_sold_after_the_end(till: Till, user: str, verb: str) -> None:
    """Whatever the sale's own end, that of the event is before it."""
    await till.publish(own_rules="ends_at_ms=5")
    call = till.book if verb == "book" else Desk(till).hold
    assert [["EVENT_ENDED", 5]] == await call(Command(user, (1, 1)))
    await till.set_stock({"ends_at_ms": FAR_MS})
    assert "ED" == (await call(Command(user, (1, 1))))[0][0][-2:] or verb == "hold"
    await check_consistent(till.redis, till.shard)


async def test_a_tier_may_sell_after_the_end(till: Till, user: str) -> None:
    """Tiers that say so are sold on; of the others the answer names the line."""
    await till.publish(own_rules="ends_at_ms=5,after_end=t2t")
    assert [["EVENT_ENDED", 5, 2]] == await till.book(Command(user, (2, 1), (1, 1)))
    assert "BOOKED" == (await till.book(Command(user, (2, 1))))[0][0]
    assert "HELD" == (await Desk(till).hold(Command(user, (2, 1), key="h")))[0][0]
    assert "REOPENED" == (await till.one("reopen", FAR_MS + 9))[0]


async def test_without_the_rule_an_event_is_sold_as_before(till: Till, user: str) -> None:
    """An event that was published without an end has none, and may be reopened for ever."""
    await till.publish()
    assert "BOOKED" == (await till.book(Command(user, (1, 1))))[0][0]
    assert "REOPENED" == (await till.one("reopen", FAR_MS + 9))[0]


async def test_a_hold_in_time_is_not_confirmed_after_the_end(desk: Desk, user: str) -> None:
    """Neither hold nor offer becomes a booking of an event that is over; nor is one extended."""
    command = Command(user, (1, 2))
    await desk.hold(command)
    await desk.till.set_stock(OVER)
    assert ["EVENT_ENDED", 1] == await desk.on("confirm", command)
    assert ["EVENT_ENDED", 1] == await desk.on("extend", command, 10 * TTL_MS, LIFE_MAX_MS)
    await desk.till.set_stock(OVER | {"after_end": "t1t"})
    assert "CONFIRMED" == (await desk.on("confirm", command))[0]


async def test_nobody_joins_or_is_offered_after_the_end(till: Till) -> None:
    """I9: a place that comes back after the end is offered to nobody, and nobody may wait."""
    queue, [booking] = await full(till, 2)
    waiter = await queue.join(1)
    await till.set_stock(OVER)
    assert ["EVENT_ENDED", 1] == await queue.send_join(Waiter(till.event, 1))
    await till.cancel(booking)
    assert [] == await queue.records(Offered)
    assert ["waiting"] == await queue.statuses(waiter)
    await till.set_stock({"ends_at_ms": FAR_MS})
    await queue.expire()
    assert ["offered"] == await queue.statuses(waiter)
    await till.set_stock(OVER)
    assert ["EVENT_ENDED", 1] == await queue.accept(waiter)


async def test_a_sale_is_not_reopened_beyond_the_end(till: Till) -> None:
    """Up to its end an event may be sold, and not a millisecond longer."""
    await till.publish(own_rules=f"ends_at_ms={FAR_MS}", closes_at_ms=FAR_MS - 9)
    assert ["EVENT_ENDED", FAR_MS] == await till.one("reopen", FAR_MS + 1)
    assert "REOPENED" == (await till.one("reopen", FAR_MS))[0]


async def test_a_hold_ends_with_the_event(till: Till, user: str) -> None:
    """What a hold promises it can keep: it runs out when the event ends, extended or not."""
    ends_at_ms = await till.now_ms() + 20_000
    await till.publish(own_rules=f"ends_at_ms={ends_at_ms},after_end=t2t")
    desk, first, other = Desk(till), Command(user, (1, 1)), Command(user, (2, 1), key="b")
    assert ends_at_ms == (await desk.hold(first))[0][5]
    assert ends_at_ms < (await desk.hold(other))[0][5]
    assert "EXTENSION_LIMIT" == (await desk.on("extend", first, TTL_MS, LIFE_MAX_MS))[0]


async def test_an_offer_ends_with_the_event(till: Till) -> None:
    """What an offer promises it can keep: it runs out when the event, or its tier, ends."""
    queue, bookings = await full(till, 2, 2)
    ends_at_ms = await till.now_ms() + 20_000
    for rules, booking in zip(({}, {"after_end": "t2t"}), bookings, strict=True):
        await till.set_stock({"ends_at_ms": ends_at_ms} | rules)
        await queue.join(2)
        await till.cancel(booking)
        assert ends_at_ms == (await queue.records(Offered))[-1].expires_at_ms


@pytest.mark.parametrize(
    ("rules", "refusal"),
    [
        ({"closes_at_ms": 7}, ["SALE_CLOSED", 7]),
        ({"1.closes_at_ms": 7}, ["SALE_CLOSED", 7, 1]),
        ({"1.opens_at_ms": FAR_MS}, ["SALE_NOT_OPEN", FAR_MS, 1]),
        (OVER, ["EVENT_ENDED", 1]),
        ({"1.order_max": 1}, ["LIMIT_REACHED", "order", 1, 0]),
        ({"1.order_min": 3}, ["LIMIT_REACHED", "order_min", 3, 0, 1]),
        ({"person_max": 1}, ["LIMIT_REACHED", "person", 1, 0]),
        ({"1.price_minor": 4000}, ["PRICE_CHANGED", 8000]),
        ({"1.available": 1, "1.sold": 9}, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("is_swept", [False, True])
async def test_f35_a_late_confirm_is_an_order_of_today(
    desk: Desk, user: str, rules: dict[str, Any], refusal: list[Any] | None, is_swept: bool
) -> None:
    """F35: what a hold promises ends with it, whether or not a sweeper has come."""
    command = Command(user, (1, 2))
    await desk.hold(command)
    names = keys.event(desk.till.shard, desk.till.event)
    await Queue(desk.till).overdue(desk.hold_id(command))
    if is_swept or refusal is None:
        await desk.expire()
    before = {name: await desk.till.field(name) for name in rules}
    await desk.till.set_stock(rules)
    assert (refusal or ["HOLD_EXPIRED", 1]) == await desk.on("confirm", command)
    assert (
        b"expired" == (await ask(desk.till.redis, "HGET", names.holds, desk.hold_id(command)))[:7]
    )
    await desk.till.set_stock({name: value or 0 for name, value in before.items()})
    if "ends_at_ms" in rules:
        await ask(desk.till.redis, "HDEL", names.stock, "ends_at_ms")
    assert "CONFIRMED" == (await desk.on("confirm", command))[0]
    await check_consistent(desk.till.redis, desk.till.shard)


async def test_what_was_promised_stays_for_the_life_of_a_hold(desk: Desk, user: str) -> None:
    """I11: closed, raised or limited meanwhile: a hold in time is confirmed as it was made."""
    command = Command(user, (1, 2))
    await desk.hold(command)
    await desk.till.set_stock(
        {"closes_at_ms": 7, "1.closes_at_ms": 7, "1.price_minor": 9, "person_max": 1}
    )
    reply = await desk.on("confirm", command)
    assert ("CONFIRMED", "1:2:2500") == (reply[0], reply[4])


@pytest.mark.parametrize(
    "rules", [{"closes_at_ms": 7}, {"1.closes_at_ms": 7}, {"1.opens_at_ms": FAR_MS}], ids=str
)
async def test_a_hold_is_not_extended_when_its_tier_is_not_sold(
    desk: Desk, user: str, rules: dict[str, Any]
) -> None:
    """A longer promise is a new one: it is made only while the places are sold."""
    command = Command(user, (1, 2))
    await desk.hold(command)
    await desk.till.set_stock(rules)
    reply = await desk.on("extend", command, 10 * TTL_MS, LIFE_MAX_MS)
    assert reply[0] in {"SALE_CLOSED", "SALE_NOT_OPEN"}
    assert "CONFIRMED" == (await desk.on("confirm", command))[0]


async def test_f35_promo_of_a_late_confirm(till: Till) -> None:
    """F35: the code must still be had, and the price is the one with it."""
    await till.publish(promos="CUT:1:10:0:")
    desk, user = Desk(till), new_id("usr")
    late = Command(user, (1, 1), fingerprint="f~CUT")
    await desk.hold(late)
    await Queue(till).overdue(desk.hold_id(late))
    other = Command(new_id("usr"), (1, 1), fingerprint="f~CUT")
    assert "BOOKED" == (await till.book(other))[0][0]
    assert ["PROMO_EXHAUSTED", 1] == await desk.on("confirm", late)
    await till.cancel(other)
    await till.set_stock({"1.price_minor": 5000})
    assert ["PRICE_CHANGED", 4500] == await desk.on("confirm", late)
    await till.set_stock({"1.price_minor": 2500})
    assert "1:1:2250" == (await desk.on("confirm", late))[4]

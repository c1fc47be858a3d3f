"""How waiting ends, and for how long one may think: said as it is, by scripts and records."""

from __future__ import annotations

from typing import Any

from engine import keys, scripts
from engine.door import Reign
from engine.ids import new_id
from engine.records import Left, Offered, Released
from tests.checks import FAR_MS, ask
from tests.lua.waitlist import TTL_MS, Queue, Waiter, full
from tests.lua.world import Command, Desk, Till

DAY_MS = 86_400_000
ONE_EACH = ((1, 2500, 10), (1, 100, 10))


async def sold_out(till: Till, *, person_max: int = 1) -> tuple[Queue, list[Command]]:
    """Sell two tiers of one place each."""
    await till.publish(tiers=ONE_EACH, person_max=person_max)
    commands = [Command(new_id("usr"), (tier_no, 1)) for tier_no in (1, 2)]
    for command in commands:
        assert "BOOKED" == (await till.book(command))[0][0]
    return Queue(till), commands


async def join(queue: Queue, tier_no: int, user_id: str = "") -> Waiter:
    """Wait for one place of a tier."""
    waiter = Waiter(queue.till.event, 1, tier_no=tier_no, user_id=user_id)
    reply = await queue.send_join(waiter, tier_no=tier_no)
    assert "JOINED" == reply[0], reply
    return waiter


async def old_reign(till: Till) -> None:
    """Let the shard write records of version 1 from now on."""
    for name in scripts.NAMES:
        await ask(till.redis, "SCRIPT LOAD", scripts.render(name, "old", 1))
    till.reign = Reign(shard=till.shard, epoch=1, script_shas=scripts.shas("old", 1))


async def test_a_cancelled_event_ends_its_list(till: Till) -> None:
    """Entries and offers of a cancelled event end with it, by their own word; nobody waits on."""
    queue, [booking] = await full(till, 1)
    offered, *waiters = [await queue.join(1) for _ in range(150)]
    await till.cancel(booking)
    assert ["offered", "waiting"] == await queue.statuses(offered, waiters[0])
    await till.alone("cancel_event")
    assert ["EMPTIED", 1, 0, 49, 100] == await till.alone("empty_event")
    assert ["EMPTIED", 0, 0, 0, 49] == await till.alone("empty_event")
    assert {"event_cancelled"} == set(await queue.statuses(offered, *waiters))
    assert {"event_cancelled"} == {left.why for left in await queue.records(Left)}
    assert ["event_cancelled"] == [one.reason for one in await queue.records(Released)]
    assert ["EVENT_CANCELLED"] == await queue.accept(offered)
    assert "REPLAYED" == (await queue.leave(offered))[0]
    assert ["EVENT_CANCELLED"] == await queue.send_join(Waiter(till.event, 1))
    cancelling = await ask(till.redis, "SMEMBERS", keys.cancelling(till.shard))
    assert till.event.encode() not in cancelling
    await queue.check()


async def test_a_pending_offer_stops_no_other_entry(till: Till) -> None:
    """I9, I12: who is offered a place keeps the other in line, and gets it after declining."""
    queue, [first, second] = await sold_out(till)
    here = await join(queue, 1)
    there, behind = await join(queue, 2, here.user_id), await join(queue, 2)
    await till.cancel(first)
    await till.cancel(second)
    assert ["offered", "waiting", "offered"] == await queue.statuses(here, there, behind)
    *_, offered = await queue.records(Offered)
    assert ("turn", [], [there.id]) == (offered.reason, offered.passed, offered.limited)
    await queue.decline(behind)
    await queue.decline(here)
    assert ["declined", "offered"] == await queue.statuses(here, there)
    await queue.check()


async def test_an_accepted_offer_ends_the_other_entry(till: Till) -> None:
    """I12: once the offer is accepted, the entry that was passed over ends, and says why."""
    queue, [first, second] = await sold_out(till)
    here = await join(queue, 1)
    there = await join(queue, 2, here.user_id)
    await till.cancel(first)
    await till.cancel(second)
    assert ["offered", "waiting"] == await queue.statuses(here, there)
    await queue.accept(here)
    assert ["accepted", "limit"] == await queue.statuses(here, there)
    [left] = await queue.records(Left)
    assert (there.id, "limit") == (left.entry_id, left.why)
    await queue.check()


async def test_a_hold_that_may_end_stops_no_entry(till: Till) -> None:
    """What is held is not decided either: the entry waits until the hold is confirmed or over."""
    await till.publish(tiers=[(1, 2500, 10), (9, 100, 10)], person_max=1)
    queue = Queue(till)
    [booking] = await queue.sell(1)
    waiter = await queue.join(1)
    desk, order = Desk(till), Command(waiter.user_id, (2, 1))
    await desk.hold(order)
    await till.cancel(booking)
    assert ["waiting"] == await queue.statuses(waiter)
    due = await ask(till.redis, "ZSCORE", keys.due(till.shard), till.event)
    assert due <= await till.now_ms() + 5_000
    await desk.on("release", order)
    await queue.expire()
    assert ["offered"] == await queue.statuses(waiter)
    await queue.check()


async def test_more_than_a_page_may_be_passed_over(till: Till) -> None:
    """F21: 30 heads with offers elsewhere do not keep the place from the 31st."""
    await till.publish(tiers=[(30, 1, 10), (1, 1, 10)], person_max=1)
    queue, people = Queue(till), [new_id("usr") for _ in range(30)]
    bookings = [Command(new_id("usr"), (1, 1)) for _ in range(30)]
    last = Command(new_id("usr"), (2, 1))
    await till.book(*bookings, last)
    for user_id in people:
        await join(queue, 1, user_id)
        await join(queue, 2, user_id)
    behind = await join(queue, 2)
    await till.cancel(*bookings)
    await queue.expire()
    await till.cancel(last)
    assert ["offered"] == await queue.statuses(behind)
    *_, offered = await queue.records(Offered)
    assert 30 == len(offered.limited)
    await queue.check()


async def test_party_that_became_too_large(till: Till) -> None:
    """A party that the tier can never have free ends with the change, and blocks nobody."""
    queue, bookings = await full(till, 1, 1, 1, 1)
    group, single = await queue.join(4), await queue.join(1)
    await till.cancel(*bookings[:2])
    assert ["waiting", "waiting"] == await queue.statuses(group, single)
    assert "CAPACITY_SET" == (await till.one("set_capacity", "1:3"))[0]
    assert ["too_large", "offered"] == await queue.statuses(group, single)
    [left] = await queue.records(Left)
    assert (group.id, "too_large") == (left.entry_id, left.why)
    await queue.check()


async def test_offer_lasts_longer_while_the_end_is_far(till: Till) -> None:
    """An offer lasts a hundredth of the time left, a day at most, and the least at the end."""
    queue, bookings = await full(till, 1, 1, 1, 1)
    waiters = [await queue.join(1) for _ in range(4)]
    lasts = []
    for booking, waiter, closes_ms, own_ms in zip(
        bookings, waiters, (FAR_MS, 20 * DAY_MS, 60_000, FAR_MS), (None, None, None, 7), strict=True
    ):
        now_ms = await till.now_ms()
        fields: dict[str, Any] = {"closes_at_ms": min(FAR_MS, now_ms + closes_ms)}
        await till.set_stock(fields | ({"offer_ttl_ms": own_ms} if own_ms else {}))
        await till.cancel(booking)
        offer = (await queue.records(Offered))[-1]
        assert waiter.id == offer.entry_id
        lasts.append(offer.expires_at_ms - offer.at_ms)
    assert (DAY_MS, TTL_MS, 7) == (lasts[0], *lasts[2:])
    assert 20 * DAY_MS // 100 >= lasts[1] > 20 * DAY_MS // 100 - 60_000


async def test_version_1_says_what_it_can(till: Till) -> None:
    """In a reign of version 1 all is as it was: a limit throws out, offers last one time."""
    queue, [first, second] = await sold_out(till)
    await old_reign(till)
    here = await join(queue, 1)
    there = await join(queue, 2, here.user_id)
    behind = await join(queue, 2)
    await till.cancel(first)
    await till.cancel(second)
    assert ["offered", "left", "offered"] == await queue.statuses(here, there, behind)
    assert {TTL_MS} == {o.expires_at_ms - o.at_ms for o in await queue.records(Offered)}
    await till.alone("cancel_event")
    assert ["EMPTIED", 2, 0, 0, 0] == await till.alone("empty_event")
    assert ["declined", "declined"] == await queue.statuses(here, behind)


async def test_all_held_tells_of_its_own_tier(till: Till) -> None:
    """When a place may return is the tier's own next deadline; unknown where people wait."""
    await till.publish(tiers=ONE_EACH, person_max=4)
    queue = Queue(till)
    desk = Desk(till)
    await desk.hold(Command(new_id("usr"), (1, 1)), ttl_ms=10_000)
    await desk.hold(Command(new_id("usr"), (2, 1)), ttl_ms=500_000)
    [one, other] = await till.book(Command(new_id("usr"), (1, 1)), Command(new_id("usr"), (2, 1)))
    assert 0 < one[3] <= 10_000 < other[3] <= 500_000
    await queue.join(1)
    [waited] = await till.book(Command(new_id("usr"), (1, 1)))
    assert ["ALL_HELD", 1, 0] == waited


async def test_all_held_does_not_know_of_what_is_far(till: Till) -> None:
    """Among the event's next deadlines none is of the tier: nothing is said of when."""
    await till.publish(tiers=[(9, 1, 10), (1, 1, 10)], person_max=4)
    desk = Desk(till)
    await desk.hold(*(Command(new_id("usr"), (1, 1)) for _ in range(8)), ttl_ms=10_000)
    await desk.hold(Command(new_id("usr"), (2, 1)), ttl_ms=500_000)
    [reply] = await till.book(Command(new_id("usr"), (2, 1)))
    assert ["ALL_HELD", 1, 0] == reply

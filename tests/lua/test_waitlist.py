"""The waitlist through its scripts: order, policies, offers that end, and what is never left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from redis.exceptions import ResponseError

from engine import keys, reads
from engine.ids import booking_of_offer, new_id
from engine.records import Cancelled, Expired, Joined, Left, Offered, Stalled
from engine.values import WaitEntry
from engine.waitlist import Position, placed
from tests.checks import ask, journal, snapshot
from tests.lua.waitlist import TTL_MS, Queue, Waiter, full
from tests.lua.world import Command, Till

SMALL = ((4, 2500, 4),)


async def test_a_returned_place_is_offered_in_the_same_script(till: Till) -> None:
    """I9: a cancellation's places are the head's before anybody else can ask."""
    queue, [booking] = await full(till, 2)
    first, second = await queue.join(2), await queue.join(2)
    await till.cancel(booking)
    assert ["offered", "waiting"] == await queue.statuses(first, second)
    [offered] = await queue.records(Offered)
    assert (first.id, first.offer, "turn", []) == (
        offered.entry_id,
        offered.hold_id,
        offered.reason,
        offered.passed,
    )
    entries = await journal(till.redis, till.shard)
    [cause] = [entry.seq for entry in entries if isinstance(entry.record, Cancelled)]
    assert cause == offered.cause_seq
    await queue.check()


async def test_accepted_offer_is_a_booking(till: Till) -> None:
    """An accepted offer becomes the booking of the same id; accepting again gives it again."""
    queue, [booking] = await full(till, 2)
    waiter = await queue.join(2)
    await till.cancel(booking)
    reply = await queue.accept(waiter)
    assert ("CONFIRMED", "1:2:2500") == (reply[0], reply[4])
    assert ["REPLAYED", *map(str, reply[1:-1])] == await queue.accept(waiter)
    assert ["accepted"] == await queue.statuses(waiter)
    own_id = booking_of_offer(waiter.offer)
    assert 1 == await ask(till.redis, "HEXISTS", queue.names.bookings, own_id)
    await queue.check()


async def test_complaint_10_offer_is_single_use(till: Till) -> None:
    """Complaint 10: who accepts and cancels gives the place to the list; the offer stays over."""
    queue, [booking] = await full(till, 2)
    first, second = await queue.join(2), await queue.join(2)
    await till.cancel(booking)
    await queue.accept(first)
    await queue.call("cancel", booking_of_offer(first.offer), first.user_id)
    assert ["accepted", "offered"] == await queue.statuses(first, second)
    assert "REPLAYED" == (await queue.accept(first))[0]
    assert ["HOLD_CONFIRMED"] == await queue.decline(first)
    assert ["HOLD_CONFIRMED"] == await queue.leave(first)
    assert ["accepted", "offered"] == await queue.statuses(first, second)
    assert "CONFIRMED" == (await queue.accept(second))[0]
    await queue.check()


async def test_complaint_10_declined_offer_is_final(till: Till) -> None:
    """Complaint 10: a declined offer goes to the next at once and cannot be accepted any more."""
    queue, [booking] = await full(till, 2)
    first, second = await queue.join(2), await queue.join(1)
    await till.cancel(booking)
    assert "RELEASED" == (await queue.decline(first))[0]
    assert ["declined", "offered"] == await queue.statuses(first, second)
    assert ["HOLD_RELEASED"] == await queue.accept(first)
    assert "REPLAYED" == (await queue.decline(first))[0]
    await queue.check()


async def test_complaint_12_abandoned_offer_goes_to_the_next(till: Till) -> None:
    """Complaint 12: nobody is stuck behind one who does not answer, nor counted with them."""
    queue, [booking] = await full(till, 2)
    first, second = await queue.join(2), await queue.join(2)
    await till.cancel(booking)
    await queue.overdue(first.offer)
    assert ["SWEPT", 1, 0] == await queue.expire()
    assert ["expired", "offered"] == await queue.statuses(first, second)
    assert "HOLD_EXPIRED" == (await queue.accept(first))[0]
    assert b"0" == await ask(till.redis, "HGET", queue.names.stock, "1.waiting")
    await queue.check()


async def test_complaint_10_expired_offer_is_final_while_places_are_free(till: Till) -> None:
    """Complaint 10: an expired offer is over even where nobody else wants its places."""
    queue, [booking] = await full(till, 2)
    waiter = await queue.join(2)
    await till.cancel(booking)
    await queue.overdue(waiter.offer)
    await queue.expire()
    assert "HOLD_EXPIRED" == (await queue.accept(waiter))[0]
    assert ["expired"] == await queue.statuses(waiter)
    [reply] = await till.book(Command(new_id("usr"), (1, 2)))
    assert "BOOKED" == reply[0]
    await queue.check()


async def test_overdue_offer_cannot_be_accepted_before_the_sweep(till: Till) -> None:
    """An offer ends by Redis time, whether or not the sweeper has come: its places go on."""
    queue, [booking] = await full(till, 2)
    first, second = await queue.join(2), await queue.join(2)
    await till.cancel(booking)
    await queue.overdue(first.offer)
    assert ["HOLD_EXPIRED", 1] == await queue.accept(first)
    assert ["expired", "offered"] == await queue.statuses(first, second)
    await queue.check()


async def test_nobody_overtakes_the_list(till: Till) -> None:
    """I9: while somebody waits, free places are not sold to others: kept, never SOLD_OUT."""
    queue, [_, small] = await full(till, 3, 1)
    await queue.join(3)
    await till.cancel(small)
    [book] = await till.book(Command(new_id("usr"), (1, 1)))
    assert ["KEPT_FOR_WAITLIST", 1, 1] == book
    _, hold = await queue.hold(new_id("usr"), 1)
    assert ["KEPT_FOR_WAITLIST", 1, 1] == hold
    await queue.check()


async def test_f35_late_confirm_does_not_pass_the_list(till: Till) -> None:
    """I9, F35: a hold that ran out is not confirmed past those who wait, swept or not."""
    await till.publish(tiers=SMALL)
    queue = Queue(till)
    alice, bob = new_id("usr"), new_id("usr")
    (hold, _), (other, _) = await queue.hold(alice, 2), await queue.hold(bob, 2)
    waiter = await queue.join(2)
    await queue.overdue(hold)
    assert ["HOLD_EXPIRED", 1] == await queue.call("confirm", hold, alice)
    assert ["offered"] == await queue.statuses(waiter)
    assert ["HOLD_EXPIRED", 1] == await queue.call("confirm", hold, alice)
    assert "CONFIRMED" == (await queue.call("confirm", other, bob))[0]
    await queue.check()


async def test_expired_hold_gives_first_place_once(till: Till) -> None:
    """Who came too late with a hold may wait in the first place, once, for no more than it had."""
    await till.publish(tiers=SMALL, person_max=4)
    queue = Queue(till)
    alice = new_id("usr")
    hold, _ = await queue.hold(alice, 2)
    other, _ = await queue.hold(new_id("usr"), 2)
    head = await queue.join(4)
    await queue.overdue(hold)
    await queue.expire()
    assert ["waiting"] == await queue.statuses(head)
    late = Waiter(till.event, 2, user_id=alice)
    assert "JOINED" == (await queue.send_join(late, after_hold=hold))[0]
    assert ["offered", "waiting"] == await queue.statuses(late, head)
    await queue.decline(late)
    again = Waiter(till.event, 2, user_id=alice)
    await queue.send_join(again, after_hold=hold)
    assert ["waiting", "waiting"] == await queue.statuses(again, head)
    assert (await queue.entry(head)).join_no < (await queue.entry(again)).join_no
    assert other
    await queue.check()


async def test_f62_a_lost_booking_gives_the_first_place_once(till: Till) -> None:
    """F62, I9: who proves a booking that was lost comes before all others, once a line of it."""
    queue, [booking] = await full(till, 4)
    head = await queue.join(1)
    lost = f"bk_{new_id('usr')[4:]}"
    first, again, other = (Waiter(till.event, 1) for _ in range(3))
    assert "JOINED" == (await queue.send_join(first, after_hold=f"{lost}/1"))[0]
    assert "JOINED" == (await queue.send_join(again, after_hold=f"{lost}/1"))[0]
    assert "JOINED" == (await queue.send_join(other, after_hold=f"{booking}/1"))[0]
    order = sorted([first, head, again, other], key=lambda one: one.id)
    entries = {one.id: (await queue.entry(one)).join_no for one in order}
    ordered = sorted(order, key=lambda one: entries[one.id])
    assert [first, head, again, other] == ordered
    made = [one.after_hold for one in await queue.records(Joined)]
    assert ["", f"{lost}/1", "", ""] == made


async def test_complaint_9_strict_head_waits_for_its_group(till: Till) -> None:
    """Complaint 9: under `strict` places gather for the head's party; nobody passes it."""
    queue, bookings = await full(till, 1, 1, 1, 1)
    group, single = await queue.join(3), await queue.join(1)
    for booking in bookings[:2]:
        await till.cancel(booking)
        assert ["waiting", "waiting"] == await queue.statuses(group, single)
    [stalled] = await queue.records(Stalled)
    assert (group.id, 3, 1) == (stalled.entry_id, stalled.quantity, stalled.available)
    await till.cancel(bookings[2])
    assert ["offered", "waiting"] == await queue.statuses(group, single)
    await queue.check()


async def test_complaint_9_strict_wait_is_bounded(till: Till) -> None:
    """Complaint 9: once its patience has run out a head is passed, and the journal says why."""
    queue, bookings = await full(till, 1, 1, 1, 1)
    group, single = await queue.join(3), await queue.join(1)
    await till.cancel(bookings[0])
    until = (await queue.entry(group)).stalled_at_ms + queue.patience_ms
    assert until == await ask(till.redis, "ZSCORE", keys.due(till.shard), till.event)
    await queue.impatient(group)
    await queue.expire()
    assert ["waiting", "offered"] == await queue.statuses(group, single)
    [offered] = await queue.records(Offered)
    assert ("patience", [group.id]) == (offered.reason, offered.passed)
    await queue.check()


async def test_f58_patience_of_a_clock_set_back(till: Till) -> None:
    """F58: who stops the list since a time that is to come stops it from now on, and on record."""
    queue, bookings = await full(till, 1, 1, 1, 1)
    group, single = await queue.join(3), await queue.join(1)
    await till.cancel(bookings[0])
    row = (await ask(till.redis, "HGET", queue.names.entries, group.id)).decode().split()
    row[10] = str(int(row[10]) + 3_600_000)
    await ask(till.redis, "HSET", queue.names.entries, group.id, " ".join(row))
    await queue.expire()
    since = (await queue.entry(group)).stalled_at_ms
    assert [since] == [record.at_ms for record in await queue.records(Stalled)][1:]
    until = await ask(till.redis, "ZSCORE", keys.due(till.shard), till.event)
    assert since + queue.patience_ms == until
    await queue.expire()
    assert 2 == len(await queue.records(Stalled))
    await queue.impatient(group)
    await queue.expire()
    assert ["waiting", "offered"] == await queue.statuses(group, single)
    await queue.check()


async def test_complaint_9_skip_lets_smaller_parties_pass(till: Till) -> None:
    """Complaint 9: under `skip` a smaller party is served, and who was passed is on record."""
    queue, bookings = await full(till, 1, 1, 1, 1, policy="skip")
    group, couple, single = await queue.join(3), await queue.join(2), await queue.join(1)
    await till.cancel(bookings[0])
    assert ["waiting", "waiting", "offered"] == await queue.statuses(group, couple, single)
    [offered] = await queue.records(Offered)
    assert ("skip", [group.id, couple.id]) == (offered.reason, offered.passed)
    await till.cancel(*bookings[1:])
    assert ["offered"] == await queue.statuses(group)
    assert [] == await queue.records(Stalled)
    await queue.check()


async def test_i12_limit_reached_when_its_turn_comes(till: Till) -> None:
    """I12: an entry whose owner may have no more places ends, on record, and stalls nobody."""
    await till.publish(tiers=[(2, 2500, 10), (9, 100, 10)], person_max=4)
    queue = Queue(till)
    [booking] = await queue.sell(2)
    greedy, patient = await queue.join(2), await queue.join(2)
    await till.book(Command(greedy.user_id, (2, 3)))
    await till.cancel(booking)
    assert ["limit", "offered"] == await queue.statuses(greedy, patient)
    [left] = await queue.records(Left)
    assert (greedy.id, "limit") == (left.entry_id, left.why)
    await queue.check()


async def test_offer_counts_against_the_limit(till: Till) -> None:
    """I12: a live offer counts as a hold does, and stops counting when it ends."""
    queue, [booking] = await full(till, 4)
    waiter = await queue.join(4)
    await till.cancel(booking)
    assert b"4" == await ask(till.redis, "HGET", queue.names.persons, waiter.user_id)
    await queue.decline(waiter)
    assert b"0" == await ask(till.redis, "HGET", queue.names.persons, waiter.user_id)
    await queue.check()


async def test_offer_is_not_extended(till: Till) -> None:
    """An offer keeps its deadline: others wait for it."""
    queue, [booking] = await full(till, 1)
    waiter = await queue.join(1)
    await till.cancel(booking)
    [reply] = [await queue.call("extend", waiter.offer, waiter.user_id, 10**9, 10**9, 0, 0)]
    assert "EXTENSION_LIMIT" == reply[0]


async def test_f36_100_cancellations_refill(till: Till) -> None:
    """F36: 100 cancellations, alone and in batches, refill the list; no place stays free."""
    queue, bookings = await full(till, *[1] * 100)
    waiters = [await queue.join(1) for _ in range(120)]
    for booking in bookings[:40]:
        await till.cancel(booking)
    await till.cancel(*bookings[40:])
    while await ask(till.redis, "HGET", queue.names.stock, "1.available") != b"0":
        before = len(await queue.records(Offered))
        await queue.expire()
        assert before < len(await queue.records(Offered)) <= before + 20
    assert ["offered"] * 100 + ["waiting"] * 20 == await queue.statuses(*waiters)
    await queue.check()


async def test_f21_sweeper_is_called_for_what_is_left_over(till: Till) -> None:
    """F21: one call offers at most 20; for the rest the event is due at once."""
    queue, bookings = await full(till, *[1] * 30)
    for _ in range(30):
        await queue.join(1)
    await till.cancel(*bookings)
    assert 20 == len(await queue.records(Offered))
    due = await ask(till.redis, "ZSCORE", keys.due(till.shard), till.event)
    assert due <= await till.now_ms()
    await queue.expire()
    assert 30 == len(await queue.records(Offered))
    await queue.check()


async def test_the_sweeper_comes_back_for_a_new_offer(till: Till) -> None:
    """An offer that a sweep makes ends in time, too: the event is due when it runs out."""
    queue, [booking] = await full(till, 1)
    first, second = await queue.join(1), await queue.join(1)
    await till.set_stock({"offer_ttl_ms": TTL_MS})
    await till.cancel(booking)
    await queue.overdue(first.offer)
    await queue.expire()
    deadline = await ask(till.redis, "ZSCORE", queue.names.deadlines, second.offer)
    assert deadline == await ask(till.redis, "ZSCORE", keys.due(till.shard), till.event)


async def test_f24_offers_wait_for_room_in_the_journal(till: Till) -> None:
    """F24: with no room left for the offer's record the sweeper comes back and makes it later."""
    queue, [booking] = await full(till, 1)
    waiter = await queue.join(1)
    seq = int(await ask(till.redis, "HGET", till.meta, "seq"))
    await till.set_meta(backlog_max=seq + 1)
    await till.cancel(booking)
    assert ["waiting"] == await queue.statuses(waiter)
    due = await ask(till.redis, "ZSCORE", keys.due(till.shard), till.event)
    assert due <= await till.now_ms() + 1000
    assert ["SWEPT", 0, 0] == await queue.expire()
    assert await ask(till.redis, "ZSCORE", keys.due(till.shard), till.event) >= due
    await till.set_meta(backlog_max=seq + 100)
    await queue.expire()
    assert ["offered"] == await queue.statuses(waiter)
    await queue.check()


async def test_a_chain_of_offers(till: Till) -> None:
    """One place goes down the list: expired, declined, left, limited, accepted."""
    queue, [booking] = await full(till, 1)
    waiters = [await queue.join(1) for _ in range(5)]
    await till.cancel(booking)
    await queue.overdue(waiters[0].offer)
    await queue.expire()
    await queue.decline(waiters[1])
    await queue.leave(waiters[3])
    await queue.leave(waiters[2])
    await queue.accept(waiters[4])
    assert ["expired", "declined", "declined", "left", "accepted"] == await queue.statuses(*waiters)
    await queue.check()


async def test_a_sale_reclaims_for_the_list(till: Till) -> None:
    """An overdue offer is ended by whoever asks first, and the places go to the next who waits."""
    queue, [booking] = await full(till, 1)
    first, second = await queue.join(1), await queue.join(1)
    await till.cancel(booking)
    await queue.overdue(first.offer)
    [reply] = await till.book(Command(new_id("usr"), (1, 1)))
    assert "KEPT_FOR_WAITLIST" == reply[0]
    assert ["expired", "offered"] == await queue.statuses(first, second)
    assert 1 == len(await queue.records(Expired))
    await queue.check()


async def test_no_offers_after_the_sale(till: Till) -> None:
    """Once the sale is closed nobody is offered anything."""
    queue, [booking] = await full(till, 1)
    waiter = await queue.join(1)
    await till.set_stock({"closes_at_ms": 1})
    await till.cancel(booking)
    assert ["waiting"] == await queue.statuses(waiter)
    await queue.check()


async def test_position(till: Till) -> None:
    """One's position and the places ahead are told, of one's own tier alone."""
    await till.publish(tiers=[(3, 2500, 10), (1, 100, 10)], person_max=10)
    queue = Queue(till)
    await till.book(Command(new_id("usr"), (1, 3), (2, 1)))
    first, second = await queue.join(3), await queue.join(2)
    elsewhere = Waiter(till.event, 1, tier_no=2)
    await queue.send_join(elsewhere)
    ask_it = partial(reads.ask, till.redis)

    async def read(*waiters: Waiter) -> dict[str, tuple[WaitEntry, Position | None]]:
        rows = {w.id: await ask(till.redis, "HGET", queue.names.entries, w.id) for w in waiters}
        return await placed(ask_it, queue.names, rows)

    places = {key: where for key, (_, where) in (await read(first, second, elsewhere)).items()}
    assert {first.id: (1, 0), second.id: (2, 3), elsewhere.id: (1, 0)} == places
    await queue.leave(first)
    left, where = (await read(first))[first.id]
    assert ("left", None) == (left.status, where)


@pytest.mark.parametrize("name", keys.EventKeys._fields)
@pytest.mark.parametrize("verb", ["cancel", "join", "leave", "decline", "accept"])
async def test_f22_f36_wrong_type_keys_leave_state_unchanged(
    till: Till, name: str, verb: str
) -> None:
    """F22, F36: whatever key has a wrong type, a step that would promote changes all or nothing."""
    queue, [first, second] = await full(till, 1, 1)
    offered, waiting = await queue.join(1), await queue.join(1)
    await till.cancel(first)
    await queue.join(1)
    key = getattr(queue.names, name)
    await ask(till.redis, "DEL", key)
    await ask(till.redis, "SET", key, "planted")
    before = await snapshot(till.redis, till.shard)
    steps: dict[str, Callable[[], Awaitable[object]]] = {
        "cancel": lambda: till.cancel(second),
        "join": lambda: queue.join(1),
        "leave": lambda: queue.leave(waiting),
        "decline": lambda: queue.decline(offered),
        "accept": lambda: queue.accept(offered),
    }
    failure = ""
    try:
        await steps[verb]()
    except ResponseError as error:
        failure = str(error)
    is_same = before == await snapshot(till.redis, till.shard)
    assert ("WRONGTYPE" in failure) == is_same
    assert failure or name not in {"stock", "entries"}

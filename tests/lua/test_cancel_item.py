"""`cancel_item`: some places come back, and the rest stays a booking."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from redis.exceptions import ResponseError

from engine.ids import new_id
from engine.records import ItemCancelled
from tests.checks import journal
from tests.lua.world import Command, Till, check_folded, dump


async def test_cut(till: Till, booking: Command) -> None:
    """I1, I8, I12: places come back, the rest stays, and the row keeps its past."""
    status, _, seq, at_ms, _ = await till.cut(booking, "1:1")
    assert ("ITEM_CANCELLED", "3") == (status, seq)
    row = await till.row(booking)
    assert row.startswith("=2 confirmed 2 1 2 ")
    assert row.endswith(f" 1:1:2500,2:1:9900/1x2x2500,2x1x9900/1-3-{at_ms}-1x1x2500#2")
    assert (10, 9, 0, 1) == await till.counters()
    record = (await journal(till.redis, till.shard))[-1].record
    assert isinstance(record, ItemCancelled)
    assert (2, [(1, 1, 2500)], [(1, 1, 2500), (2, 1, 9900)]) == (
        record.booking_version,
        [(i.tier_no, i.quantity, i.unit_price_minor) for i in record.items],
        [(i.tier_no, i.quantity, i.unit_price_minor) for i in record.left],
    )
    await check_folded(till)


async def test_cut_replays(till: Till, booking: Command) -> None:
    """The same cut at the same version gives its reply again; another is VERSION_CHANGED."""
    status, *place, _ = await till.cut(booking, "1:1")
    assert "ITEM_CANCELLED" == status
    before = await dump(till.redis, till.shard)
    assert ["REPLAYED", *map(str, place)] == await till.cut(booking, "1:1")
    assert ["VERSION_CHANGED", 2] == await till.cut(booking, "2:1")
    assert ["VERSION_CHANGED", 2] == await till.cut(booking, "1:1,2:1")
    assert ["VERSION_CHANGED", 2] == await till.cut(booking, "1:1", version=3)
    assert before == await dump(till.redis, till.shard)
    status, *last, _ = await till.cut(booking, "2:1,1:1", version=2)
    assert "CANCELLED" == status
    assert ["REPLAYED", *map(str, last)] == await till.cut(booking, "1:1,2:1", version=2)
    assert ["REPLAYED", *map(str, place)] == await till.cut(booking, "1:1")
    assert ["VERSION_CHANGED", 3] == await till.cut(booking, "1:1", version=2)
    assert ["REPLAYED", *map(str, last)] == (await till.cancel(booking))[0]
    await check_folded(till)


async def test_i6_booking_replays_its_first_items(till: Till, booking: Command) -> None:
    """I6: the repeated order finds its booking; the word tells the first items as well."""
    await till.cut(booking, "1:1")
    [[status, _, _, _, items, *now]] = await till.book(booking)
    assert ("REPLAYED", ["confirmed", "2"]) == (status, [str(word) for word in now])
    assert items.split("/")[:2] == ["1:1:2500,2:1:9900", "1x2x2500,2x1x9900"]


async def test_cut_refusals(till: Till, booking: Command) -> None:
    """Strangers, unknown lines, and too many places change nothing."""
    before = await dump(till.redis, till.shard)
    assert ["NOT_FOUND"] == await till.cut(booking, "1:1", user_id=new_id("usr"))
    assert ["NOT_IN_BOOKING", 1] == await till.cut(booking, "3:1")
    assert ["NOT_IN_BOOKING", 2] == await till.cut(booking, "2:1,1:3")
    assert before == await dump(till.redis, till.shard)


async def test_cut_ticket_does_not_pass(till: Till, booking: Command) -> None:
    """The last tickets of the tier are cancelled; the others pass."""
    await till.cut(booking, "1:1")
    assert ["TICKET_CANCELLED"] == await till.checkin(booking, 2)
    assert "CHECKED_IN" == (await till.checkin(booking, 1))[0]
    assert "CHECKED_IN" == (await till.checkin(booking, 3))[0]


async def test_cut_of_a_used_ticket(till: Till, booking: Command) -> None:
    """A place on which somebody is in does not come back; another of the tier does."""
    await till.checkin(booking, 2)
    assert "ALREADY_CHECKED_IN" == (await till.cut(booking, "1:2"))[0]
    assert "ITEM_CANCELLED" == (await till.cut(booking, "1:1"))[0]
    assert "ALREADY_CHECKED_IN" == (await till.cut(booking, "1:1", version=2))[0]
    assert "ITEM_CANCELLED" == (await till.cut(booking, "2:1", version=2))[0]
    await check_folded(till)


async def test_complaint_8_cancel_attendee_then_order(till: Till, booking: Command) -> None:
    """Complaint 8: an attendee is cancelled, then the order, each twice; no place is invented."""
    for _ in range(2):
        await till.cut(booking, "1:1")
    for _ in range(2):
        await till.cancel(booking)
    assert (10, 10, 0, 0) == await till.counters(1)
    assert (5, 5, 0, 0) == await till.counters(2)
    await check_folded(till)


async def test_complaint_8_available_stays_in_bounds(till: Till) -> None:
    """Complaint 8: 0 <= available <= capacity after each step of 600 random ones."""
    chance = random.Random(8)
    await till.publish(tiers=[(12, 100, 10), (4, 50, 10)], person_max=20)
    commands = [
        Command(new_id("usr"), (1, chance.randint(1, 4)), (2, 1), key=str(n)) for n in range(12)
    ]
    statuses: Counter[str] = Counter()
    for step in range(600):
        command, version = chance.choice(commands), chance.randint(1, 5)
        match chance.randrange(9):
            case 0 | 1:
                reply = (await till.book(command))[0]
            case 2:
                reply = (await till.cancel(command))[0]
            case 3 | 4:
                lines = chance.choice(["1:1", "2:1", "1:1,2:1", "1:2"])
                reply = await till.cut(command, lines, version)
            case 5:
                reply = await till.one("set_capacity", f"1:{chance.randint(0, 16)}")
            case 6:
                reply = [await till.hold(command.user_id, 2, key=str(step))]
            case 7:
                reply = [await till.confirm(command.user_id, key=str(chance.randrange(step + 1)))]
            case _:
                reply = await till.checkin(command, chance.randint(1, 5))
        statuses[reply[0]] += 1
        if step % 100 == 99:
            await check_folded(till)
            commands = [
                Command(c.user_id, *c.items, key=f"{c.key}+{step}") if n % 2 else c
                for n, c in enumerate(commands)
            ]
        capacity, available, held, sold = await till.counters()
        assert 0 <= available <= capacity == available + held + sold
    wanted = {"BOOKED", "CANCELLED", "ITEM_CANCELLED", "CAPACITY_SET", "HELD", "CHECKED_IN"}
    assert set() == wanted - statuses.keys()


async def test_complaint_7_every_counter_moves_in_the_script(till: Till) -> None:
    """Complaint 7: stock and the person's count stand before anybody has read the journal."""
    await till.publish()
    command = Command(new_id("usr"), (1, 4), (2, 2))
    await till.book(command)
    await till.cut(command, "1:1")
    again = Command(command.user_id, (1, 2), key="again")
    assert [["LIMIT_REACHED", "person", 6, 5]] == await till.book(again)
    one = Command(command.user_id, (1, 1), key="one")
    assert "BOOKED" == (await till.book(one))[0][0]
    await check_folded(till)


@pytest.mark.parametrize("lines", ["", "1", "1:0", "1:1,", "1:1,1:1", "x:1", "1:1;2:1", "01:1"])
async def test_badarg_lines(till: Till, booking: Command, lines: str) -> None:
    """F21: what no right caller sends is an error that changes nothing."""
    before = await dump(till.redis, till.shard)
    with pytest.raises(ResponseError, match="BADARG"):
        await till.cut(booking, lines)
    assert before == await dump(till.redis, till.shard)


async def test_f21_largest_batch(till: Till) -> None:
    """F21: 128 scans, and 128 cuts of ten lines, run in one call each."""
    await till.publish(tiers=[(200, 10 * n, 10) for n in range(1, 21)], person_max=10)
    commands = [
        Command(new_id("usr"), *((10 * (n % 2) + line, 1) for line in range(1, 11)))
        for n in range(128)
    ]
    await till.book(*commands)
    words = [
        word
        for c in commands
        for word in (1, till.booking(c), c.user_id, 1, ",".join(f"{tier}:1" for tier, _ in c.items))
    ]
    scans = [word for c in commands for word in (1, till.booking(c), 1, 1, "g", "usr", "-", 0)]
    replies = await till.on_events("cancel_item", [till.event], words)
    assert {"CANCELLED"} == {reply[0] for reply in replies}
    replies = await till.on_events("checkin", [till.event], scans)
    assert {"TICKET_CANCELLED"} == {reply[0] for reply in replies}
    await check_folded(till)

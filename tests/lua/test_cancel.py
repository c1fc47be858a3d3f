"""`lua/cancel.lua`: its replies in the header's order, its replays, and the state it leaves."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from redis.exceptions import ResponseError

from engine import keys
from engine.ids import new_id
from engine.records import CHECK_CHARS, Cancelled, Item
from tests.checks import Tier, ask, check_consistent, journal, persons, snapshot, stock, users
from tests.lua.world import Command, Till


async def booked(till: Till, *items: tuple[int, int]) -> Command:
    """Publish the event and book, as a new user."""
    await till.publish()
    command = Command(new_id("usr"), *(items or ((1, 2), (2, 1))))
    [[status, *_]] = await till.book(command)
    assert status == "BOOKED"
    return command


async def test_cancelled_reply(till: Till) -> None:
    """A cancellation replies epoch, seq, a Redis time, and the record that it wrote."""
    command = await booked(till)
    start_ms = await till.now_ms()
    [[status, epoch, seq, at_ms, record]] = await till.cancel(command)
    assert record.encode() == (await journal(till.redis, till.shard))[-1].raw[CHECK_CHARS:]
    assert ("CANCELLED", "1", "3") == (status, epoch, seq)
    assert start_ms <= at_ms <= await till.now_ms()


async def test_not_found(till: Till) -> None:
    """An unknown booking, an unloaded event and another user's booking are all NOT_FOUND."""
    command = await booked(till)
    before = await snapshot(till.redis, till.shard)
    unknown = Command(command.user_id, key="unknown")
    elsewhere = Command(command.user_id, event_id=new_id("evt"))
    assert [["NOT_FOUND"]] * 2 == await till.cancel(unknown, elsewhere)
    assert [["NOT_FOUND"]] == await till.cancel(command, user_id=new_id("usr"))
    assert before == await snapshot(till.redis, till.shard)


async def test_not_found_precedes_replayed(till: Till) -> None:
    """A stranger is not told that a booking was cancelled before."""
    command = await booked(till)
    await till.cancel(command)
    assert [["NOT_FOUND"]] == await till.cancel(command, user_id=new_id("usr"))


async def test_not_found_precedes_backpressure(till: Till) -> None:
    """An unknown booking is unknown even when PostgreSQL is too far behind."""
    command = await booked(till)
    await till.set_meta(backlog_max=1)
    assert [["NOT_FOUND"]] == await till.cancel(command, user_id=new_id("usr"))


async def test_replayed_precedes_backpressure(till: Till) -> None:
    """A repeated cancellation gives its first reply even when PostgreSQL is too far behind."""
    command = await booked(till)
    [[_, *first, _]] = await till.cancel(command)
    await till.set_meta(backlog_max=1)
    before = await snapshot(till.redis, till.shard)
    assert [["REPLAYED", *map(str, first)]] == await till.cancel(command)
    assert before == await snapshot(till.redis, till.shard)


async def test_f24_backpressure(till: Till) -> None:
    """F24: with no room in the backlog a cancellation is refused and changes nothing."""
    command = await booked(till)
    await till.set_meta(backlog_max=1)
    before = await snapshot(till.redis, till.shard)
    assert [["BACKPRESSURE"]] == await till.cancel(command)
    assert before == await snapshot(till.redis, till.shard)


async def test_i10_replay_in_the_same_batch(till: Till) -> None:
    """I10: a booking that is cancelled twice in one batch gives its places back once."""
    command = await booked(till)
    first, second = await till.cancel(command, command)
    assert ["CANCELLED", "REPLAYED"] == [first[0], second[0]]
    assert [*map(str, first[1:-1])] == second[1:]
    await check_consistent(till.redis, till.shard)


async def test_state_left_behind(till: Till) -> None:
    """I1, I8, I10: places and count are back, the booking keeps its past and is final."""
    command = await booked(till)
    row_key = keys.event(till.shard, till.event).bookings
    was = (await ask(till.redis, "HGET", row_key, till.booking(command))).decode()
    [[_, _, _, at_ms, _]] = await till.cancel(command)
    assert {1: Tier(10, 0, 0), 2: Tier(5, 0, 0), 3: Tier(0, 0, 0)} == await stock(
        till.redis, till.shard, till.event
    )
    assert {} == await persons(till.redis, till.shard, till.event)
    row = (await ask(till.redis, "HGET", row_key, till.booking(command))).decode()
    assert f"cancelled 2 {was.removeprefix('confirmed 1 ')} 1 3 {at_ms}" == row
    record = (await journal(till.redis, till.shard))[-1].record
    expected = Cancelled(
        version=2,
        at_ms=at_ms,
        event_id=till.event,
        booking_id=till.booking(command),
        user_id=command.user_id,
        items=[Item(1, 2, 2500), Item(2, 1, 9900)],
    )
    assert expected == record
    await check_consistent(till.redis, till.shard)


async def test_place_is_sold_again(till: Till) -> None:
    """A place that came back is sold to the next; the first booking stays cancelled."""
    command = await booked(till, (2, 5))
    other = Command(new_id("usr"), (2, 5))
    assert [["SOLD_OUT", 1, 0]] == await till.book(other)
    await till.cancel(command)
    [[status, *_]] = await till.book(other)
    assert status == "BOOKED"
    assert "REPLAYED" == (await till.cancel(command))[0][0]
    assert {2: 5} == {n: t.sold for n, t in (await _tiers(till)).items() if t.sold}
    await check_consistent(till.redis, till.shard)


async def test_i12_person_may_book_again(till: Till) -> None:
    """I12: what a person cancelled no longer counts against the limit."""
    command = await booked(till, (1, 4), (2, 2))
    again = Command(command.user_id, (2, 5), key="again")
    assert [["LIMIT_REACHED", "person", 6, 6]] == await till.book(again)
    await till.cancel(command)
    assert "BOOKED" == (await till.book(again))[0][0]
    await check_consistent(till.redis, till.shard)


async def test_batch_over_two_events(till: Till) -> None:
    """Cancellations for two events share a call; each event gets back its own."""
    other = new_id("evt")
    await till.publish()
    await till.publish(other)
    commands = [Command(u, (2, 2), event_id=e) for u, e in zip(users(2), (other, ""), strict=True)]
    await till.book(*commands)
    replies = await till.cancel(*commands)
    assert ["CANCELLED"] * 2 == [reply[0] for reply in replies]
    assert 5 == (await stock(till.redis, till.shard, other))[2].available
    await check_consistent(till.redis, till.shard)


async def test_f21_largest_batch(till: Till) -> None:
    """F21: 128 cancellations of 10 lines each run, and all places are back."""
    await till.publish(tiers=[(1000, 10 * n, 10) for n in range(1, 101)], person_max=10)
    commands = [
        Command(user, *((10 * (n % 10) + line, 1) for line in range(1, 11)))
        for n, user in enumerate(users(128))
    ]
    await till.book(*commands)
    replies = await till.cancel(*commands)
    assert ["CANCELLED"] * 128 == [reply[0] for reply in replies]
    assert {1000} == {tier.available for tier in (await _tiers(till)).values()}
    await check_consistent(till.redis, till.shard)


async def test_i10_race_to_cancel(till: Till) -> None:
    """I10: of 50 parallel cancellations of one booking exactly one gives places back."""
    command = await booked(till)
    replies = await asyncio.gather(*(till.cancel(command) for _ in range(50)))
    counts = Counter(reply[0][0] for reply in replies)
    assert Counter({"CANCELLED": 1, "REPLAYED": 49}) == counts
    await check_consistent(till.redis, till.shard)


@pytest.mark.parametrize("number", range(5))
async def test_f22_wrong_type_keys_leave_state_unchanged(till: Till, number: int) -> None:
    """F22: a key of the wrong type is an error, and nothing at all is changed by the batch."""
    other = new_id("evt")
    await till.publish(other)
    healthy = Command(new_id("usr"), (1, 1), event_id=other)
    await till.book(healthy)
    command = await booked(till)
    key = [till.meta, till.journal, *keys.event(till.shard, till.event)][number]
    await ask(till.redis, "DEL", key)
    await ask(till.redis, "SET", key, "planted")
    before = await snapshot(till.redis, till.shard)
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await till.cancel(healthy, command)
    assert before == await snapshot(till.redis, till.shard)


@pytest.mark.parametrize("field", ["1.available", "1.sold"])
@pytest.mark.parametrize("value", ["", "x", None])
async def test_f22_bad_stock_leaves_state_unchanged(
    till: Till, field: str, value: str | None
) -> None:
    """F22: a counter that is garbled or gone is an error that changes nothing."""
    command = await booked(till)
    stock_key = keys.event(till.shard, till.event).stock
    if value is None:
        await ask(till.redis, "HDEL", stock_key, field)
    else:
        await ask(till.redis, "HSET", stock_key, field, value)
    before = await snapshot(till.redis, till.shard)
    with pytest.raises(ResponseError):
        await till.cancel(command)
    assert before == await snapshot(till.redis, till.shard)


async def test_f33_journal_ahead_leaves_state_unchanged(till: Till) -> None:
    """F33: a journal that is already at a higher id is an error, and nothing is changed."""
    command = await booked(till)
    await ask(till.redis, "XADD", till.journal, "9-1", "records", "from another history")
    before = await snapshot(till.redis, till.shard)
    with pytest.raises(ResponseError, match="equal or smaller"):
        await till.cancel(command)
    assert before == await snapshot(till.redis, till.shard)


@pytest.mark.parametrize(
    ("epoch", "meta", "message"),
    [
        (2, {}, "FENCED 1 open"),
        (1, {"epoch": 2}, "FENCED 2 open"),
        (1, {"state": "recovering"}, "FENCED 1 recovering"),
        (1, None, "FENCED false false"),
    ],
)
async def test_i17_fenced(
    till: Till, epoch: int, meta: dict[str, Any] | None, message: str
) -> None:
    """I17: under another epoch, or while the shard is not open, nothing is changed."""
    command = await booked(till)
    if meta is None:
        await ask(till.redis, "DEL", till.meta)
    elif meta:
        await till.set_meta(**meta)
    till.epoch = epoch
    before = await snapshot(till.redis, till.shard)
    with pytest.raises(ResponseError, match=f"^{message}$"):
        await till.cancel(command)
    assert before == await snapshot(till.redis, till.shard)


@pytest.mark.parametrize("args", [(2, "bk", "usr"), ("x", "bk", "usr"), (1, "bk"), (1,)])
async def test_badarg(till: Till, args: tuple[Any, ...]) -> None:
    """What no right caller sends is an error that changes nothing."""
    await booked(till)
    before = await snapshot(till.redis, till.shard)
    names = [till.meta, till.journal, *keys.event(till.shard, till.event)]
    with pytest.raises(ResponseError, match="BADARG"):
        await till.call("cancel", names, 1, till.event, *args)
    assert before == await snapshot(till.redis, till.shard)


async def _tiers(till: Till) -> dict[int, Tier]:
    return await stock(till.redis, till.shard, till.event)

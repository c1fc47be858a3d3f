"""`lua/book.lua`: its refusals in the header's order, its replays, and the state it leaves."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.exceptions import ResponseError

from engine import keys
from engine.ids import new_id, with_beyond
from engine.records import Booked, Item
from tests.checks import (
    FAR_MS,
    Tier,
    ask,
    check_consistent,
    journal,
    persons,
    snapshot,
    stock,
    users,
)
from tests.lua.world import Command, Till

Plant = Callable[[Till, str], Awaitable[None]]
Items = tuple[tuple[int, int], ...]


async def nothing(till: Till, user: str) -> None:
    """Leave the event as it was published."""


async def used_key(till: Till, user: str) -> None:
    """Let the user's key be taken by another request."""
    await till.book(Command(user, (1, 1), fingerprint="other"))


async def no_event(till: Till, user: str) -> None:
    """Let the event never have been published."""
    await ask(till.redis, "DEL", *keys.event(till.shard, till.event))


async def no_stock(till: Till, user: str) -> None:
    """Lose the stock."""
    await ask(till.redis, "DEL", keys.event(till.shard, till.event).stock)


async def half_event(till: Till, user: str) -> None:
    """Leave of the event nothing but a sale that is not open."""
    await no_event(till, user)
    await till.set_stock({"opens_at_ms": FAR_MS})


async def not_open(till: Till, user: str) -> None:
    """Let the sale open much later."""
    await till.set_stock({"opens_at_ms": FAR_MS})


async def closed(till: Till, user: str) -> None:
    """Let the sale have ended."""
    await till.set_stock({"closes_at_ms": 1})


async def behind(till: Till, user: str) -> None:
    """Let PostgreSQL be as far behind as it may."""
    await till.set_meta(backlog_max=1)


async def held(till: Till, user: str) -> None:
    """Let all places of tier 2 be held."""
    await till.set_stock({"2.available": 0, "2.held": 5})


async def both(first: Plant, second: Plant, till: Till, user: str) -> None:
    """Plant two states."""
    await first(till, user)
    await second(till, user)


def and_(first: Plant, second: Plant) -> Plant:
    """Combine two plants."""
    return lambda till, user: both(first, second, till, user)


REFUSALS: list[tuple[Plant, Items, list[Any]]] = [
    (used_key, ((1, 1),), ["IDEMPOTENCY_KEY_REUSED"]),
    (no_stock, ((1, 1),), ["EVENT_DAMAGED"]),
    (no_event, ((1, 1),), ["NOT_ON_SALE"]),
    (not_open, ((1, 1),), ["SALE_NOT_OPEN", FAR_MS]),
    (closed, ((1, 1),), ["SALE_CLOSED", 1]),
    (behind, ((1, 1),), ["BACKPRESSURE"]),
    (nothing, ((1, 1), (9, 1)), ["UNKNOWN_TIER", 2]),
    (nothing, ((1, 5),), ["LIMIT_REACHED", "order", 4, 0]),
    (nothing, ((1, 3), (2, 4)), ["LIMIT_REACHED", "person", 6, 0]),
    (held, ((1, 1), (2, 1)), ["ALL_HELD", 2, 0]),
    (nothing, ((1, 1), (3, 1)), ["SOLD_OUT", 2, 0]),
]

#: Two neighbours of the table apply; the expected reply is the upper one's.
PAIRS: list[tuple[Plant, Items, list[Any]]] = [
    (and_(used_key, no_stock), ((1, 1),), ["IDEMPOTENCY_KEY_REUSED"]),
    (and_(no_stock, behind), ((1, 1),), ["EVENT_DAMAGED"]),
    (half_event, ((1, 1),), ["NOT_ON_SALE"]),
    (and_(not_open, closed), ((1, 1),), ["SALE_NOT_OPEN", FAR_MS]),
    (and_(closed, behind), ((1, 1),), ["SALE_CLOSED", 1]),
    (behind, ((9, 1),), ["BACKPRESSURE"]),
    (nothing, ((1, 5), (9, 1)), ["UNKNOWN_TIER", 2]),
    (nothing, ((2, 3), (1, 5)), ["LIMIT_REACHED", "order", 4, 0]),
    (held, ((2, 7),), ["LIMIT_REACHED", "person", 6, 0]),
    (held, ((2, 1), (3, 1)), ["SOLD_OUT", 2, 0]),
]


@pytest.mark.parametrize(("plant", "items", "expected"), REFUSALS)
async def test_refusal(
    till: Till, user: str, plant: Plant, items: Items, expected: list[Any]
) -> None:
    """Each refusal of the header is given where it applies, and changes nothing."""
    await till.publish()
    await plant(till, user)
    before = await snapshot(till.redis, till.shard)
    assert [expected] == await till.book(Command(user, *items))
    assert before == await snapshot(till.redis, till.shard)


@pytest.mark.parametrize(("plant", "items", "expected"), PAIRS)
async def test_precedence(
    till: Till, user: str, plant: Plant, items: Items, expected: list[Any]
) -> None:
    """Where two neighbours of the header's list apply, the upper one is given."""
    await till.publish()
    await plant(till, user)
    assert [expected] == await till.book(Command(user, *items))


@pytest.mark.parametrize("plant", [no_stock, not_open, closed, behind, held])
async def test_replay_precedes_every_refusal(till: Till, user: str, plant: Plant) -> None:
    """A repeated request gives its first reply, whatever became of the event meanwhile."""
    await till.publish()
    command = Command(user, (2, 2), (1, 1))
    [[status, *first]] = await till.book(command)
    assert status == "BOOKED"
    await plant(till, user)
    before = await snapshot(till.redis, till.shard)
    assert [["REPLAYED", *map(str, first)]] == await till.book(command)
    assert before == await snapshot(till.redis, till.shard)


async def test_booked_reply(till: Till, user: str) -> None:
    """A booking replies epoch, seq, a Redis time, and its lines with the prices of the stock."""
    await till.publish()
    start_ms = await till.now_ms()
    [[status, epoch, seq, at_ms, items]] = await till.book(Command(user, (2, 2), (1, 1)))
    assert ("BOOKED", "1", "2", "2:2:9900,1:1:2500") == (status, epoch, seq, items)
    assert start_ms <= at_ms <= await till.now_ms()


async def test_i6_replay_in_the_same_batch(till: Till, user: str) -> None:
    """I6: a request that stands in one batch twice books once."""
    await till.publish()
    command = Command(user, (1, 1))
    first, second = await till.book(command, command)
    assert ["BOOKED", *map(str, first[1:])] == ["BOOKED", *second[1:]]
    assert second[0] == "REPLAYED"
    assert {1: Tier(9, 0, 1), 2: Tier(5, 0, 0), 3: Tier(0, 0, 0)} == await stock(
        till.redis, till.shard, till.event
    )
    await check_consistent(till.redis, till.shard)


async def test_i6_other_fingerprint_in_the_same_batch(till: Till, user: str) -> None:
    """I6: a key with another request is refused even in the batch that books the first."""
    await till.publish()
    replies = await till.book(Command(user, (1, 1)), Command(user, (1, 2), fingerprint="f2"))
    assert ["BOOKED", "IDEMPOTENCY_KEY_REUSED"] == [reply[0] for reply in replies]
    await check_consistent(till.redis, till.shard)


async def test_i6_replay_after_cancel(till: Till, user: str) -> None:
    """I6: after a cancellation the request tells of it beside its first reply, books nothing."""
    await till.publish()
    command = Command(user, (1, 1))
    [[_, *first]] = await till.book(command)
    [[_, _, _, at_ms, _]] = await till.cancel(command)
    before = await snapshot(till.redis, till.shard)
    replies = await till.book(command, Command(user, (1, 1), fingerprint="f2"))
    now = ["cancelled", "2", str(at_ms)]
    assert [["REPLAYED", *map(str, first), *now], ["IDEMPOTENCY_KEY_REUSED"]] == replies
    assert before == await snapshot(till.redis, till.shard)


async def test_all_or_nothing_over_tiers(till: Till, user: str) -> None:
    """A cart of which the last tier lacks places takes none of the others."""
    await till.publish()
    buyer, other = users(2)
    await till.book(Command(buyer, (2, 4)))
    before = await snapshot(till.redis, till.shard)
    assert [["SOLD_OUT", 2, 1]] == await till.book(Command(other, (1, 1), (2, 2)))
    assert before == await snapshot(till.redis, till.shard)


async def test_refused_command_does_not_harm_its_batch(till: Till) -> None:
    """A refused command leaves its neighbours alone, and a later one may have what it left."""
    await till.publish()
    one, two, three = users(3)
    replies = await till.book(
        Command(one, (2, 3)), Command(two, (2, 3), (1, 1)), Command(three, (2, 2))
    )
    assert ["BOOKED", "SOLD_OUT", "BOOKED"] == [reply[0] for reply in replies]
    assert ["2", "3"] == [replies[0][2], replies[2][2]]
    await check_consistent(till.redis, till.shard)


async def test_state_left_behind(till: Till, user: str) -> None:
    """I1, I8: counters, person count, booking and journal record all tell the same booking."""
    await till.publish()
    detail = '{"special_requests":"ramp","metadata":{"ref":7}}'
    command = Command(user, (2, 2), (1, 1), detail=detail)
    [[_, _, _, at_ms, _]] = await till.book(command)
    assert {1: Tier(9, 0, 1), 2: Tier(3, 0, 2), 3: Tier(0, 0, 0)} == await stock(
        till.redis, till.shard, till.event
    )
    assert {user: 3} == await persons(till.redis, till.shard, till.event)
    record = (await journal(till.redis, till.shard))[-1].record
    assert isinstance(record, Booked)
    assert (2, at_ms, till.event) == (record.version, record.at_ms, record.event_id)
    assert (till.booking(command), user, "f1") == (
        record.booking_id,
        record.user_id,
        record.fingerprint,
    )
    assert [Item(2, 2, 9900), Item(1, 1, 2500)] == record.items
    assert ("ramp", {"ref": 7}) == (record.detail.special_requests, record.detail.metadata)
    row = await ask(
        till.redis, "HGET", keys.event(till.shard, till.event).bookings, till.booking(command)
    )
    assert f"confirmed 1 1 2 {at_ms} {user} f1 2:2:9900,1:1:2500" == row.decode()
    await check_consistent(till.redis, till.shard)


async def test_i12_person_limit_counts_all_bookings(till: Till, user: str) -> None:
    """I12: bookings of one person add up, within a batch and across calls."""
    await till.publish()
    replies = await till.book(
        Command(user, (1, 4), key="a"),
        Command(user, (2, 3), key="b"),
        Command(user, (2, 2), key="c"),
    )
    assert ["LIMIT_REACHED", "person", 6, 4] == replies[1]
    assert ["BOOKED", "BOOKED"] == [replies[0][0], replies[2][0]]
    assert [["LIMIT_REACHED", "person", 6, 6]] == await till.book(Command(user, (1, 1), key="d"))
    await check_consistent(till.redis, till.shard)


async def test_i12_box_office_sells_beyond_the_limit(till: Till, user: str) -> None:
    """I12: a marked order may exceed the person's limits, event's and tier's, and no other rule."""
    await till.publish(tiers=((100, 100, 10), (6, 100, 10)))
    await till.book(Command(user, (1, 6), key="a"))
    marked = with_beyond("f1")
    replies = await till.book(
        Command(user, (1, 1), key="b"),
        Command(user, (1, 5), key="c", fingerprint=marked),
        Command(user, (2, 7), key="d", fingerprint=marked),
        Command(user, (1, 1), key="e"),
    )
    assert ["LIMIT_REACHED", "person", 6, 6] == replies[0]
    assert ["BOOKED", "SOLD_OUT"] == [replies[1][0], replies[2][0]]
    assert ["LIMIT_REACHED", "person", 6, 11] == replies[3]
    again = await till.book(Command(user, (1, 5), key="c", fingerprint=marked))
    assert "REPLAYED" == again[0][0]
    await check_consistent(till.redis, till.shard)


async def test_i1_last_places_within_a_batch(till: Till) -> None:
    """I1: of many commands in one batch, as many win as there are places."""
    await till.publish(tiers=((7, 100, 10),))
    replies = await till.book(*(Command(user, (1, 1)) for user in users(30)))
    assert ["BOOKED"] * 7 + ["SOLD_OUT"] * 23 == [reply[0] for reply in replies]
    assert {1: Tier(0, 0, 7)} == await stock(till.redis, till.shard, till.event)
    await check_consistent(till.redis, till.shard)


@pytest.mark.parametrize(("capacity", "quantity", "wins"), [(5, 1, 5), (7, 2, 3), (1, 1, 1)])
async def test_i1_race_at_the_script(till: Till, capacity: int, quantity: int, wins: int) -> None:
    """I1: of 60 tasks that race for the last places, exactly as many win as fit."""
    await till.publish(tiers=((capacity, 100, 10),))
    replies = await asyncio.gather(*(till.book(Command(u, (1, quantity))) for u in users(60)))
    counts = Counter(reply[0][0] for reply in replies)
    assert Counter({"BOOKED": wins, "SOLD_OUT": 60 - wins}) == counts
    await check_consistent(till.redis, till.shard)


async def test_f37_race_with_one_key(till: Till, user: str) -> None:
    """F37: of 100 parallel calls with one key, one books and all reply the same."""
    await till.publish()
    command = Command(user, (1, 1))
    replies = [
        reply[0] for reply in await asyncio.gather(*(till.book(command) for _ in range(100)))
    ]
    assert Counter({"BOOKED": 1, "REPLAYED": 99}) == Counter(reply[0] for reply in replies)
    assert 1 == len({tuple(map(str, reply[1:])) for reply in replies})
    await check_consistent(till.redis, till.shard)


async def test_batch_over_two_events(till: Till) -> None:
    """Commands for two events share a call; each event's figures and limits are its own."""
    other = new_id("evt")
    await till.publish()
    await till.publish(other, tiers=((1, 700, 1),), person_max=1)
    one, two = users(2)
    replies = await till.book(
        Command(one, (1, 1), event_id=other),
        Command(one, (2, 2)),
        Command(two, (1, 1), event_id=other),
        Command(two, (2, 3)),
    )
    assert ["BOOKED", "BOOKED", "SOLD_OUT", "BOOKED"] == [reply[0] for reply in replies]
    assert "1:1:700" == replies[0][4]
    assert {1: Tier(0, 0, 1)} == await stock(till.redis, till.shard, other)
    assert Tier(0, 0, 5) == (await stock(till.redis, till.shard, till.event))[2]
    await check_consistent(till.redis, till.shard)


async def test_f21_largest_batch(till: Till) -> None:
    """F21: 128 commands of 10 lines each run, and every figure is right."""
    await till.publish(tiers=[(1000, 10 * n, 10) for n in range(1, 101)], person_max=10)
    commands = [
        Command(user, *((10 * (n % 10) + line, 1) for line in range(1, 11)))
        for n, user in enumerate(users(128))
    ]
    replies = await till.book(*commands)
    assert ["BOOKED"] * 128 == [reply[0] for reply in replies]
    assert [str(seq) for seq in range(2, 130)] == [reply[2] for reply in replies]
    await check_consistent(till.redis, till.shard)


async def test_f21_largest_batch_of_distinct_events(till: Till) -> None:
    """F21: 128 commands for 128 events run in one call."""
    events = [new_id("evt") for _ in range(128)]
    for event in events:
        await till.publish(event)
    replies = await till.book(
        *(Command(u, (1, 1), event_id=e) for u, e in zip(users(128), events, strict=True))
    )
    assert ["BOOKED"] * 128 == [reply[0] for reply in replies]
    await check_consistent(till.redis, till.shard)


async def test_f21_unknown_tiers_without_end(till: Till) -> None:
    """F21: 1280 different unknown tiers are refused one by one, not by an error."""
    await till.publish()
    replies = await till.book(
        *(
            Command(user, *((1000 + 10 * n + line, 1) for line in range(10)))
            for n, user in enumerate(users(128))
        )
    )
    assert [["UNKNOWN_TIER", 1]] * 128 == replies


def names(till: Till) -> list[str]:
    """Return the script's KEYS for the default event."""
    return [till.meta, till.journal, *keys.event(till.shard, till.event)]


@pytest.mark.parametrize("number", range(5))
async def test_f22_wrong_type_keys_leave_state_unchanged(till: Till, number: int) -> None:
    """F22: a key of the wrong type is an error, and nothing at all is changed by the batch."""
    other = new_id("evt")
    await till.publish()
    await till.publish(other)
    one, two, three = users(3)
    await till.book(Command(one, (1, 1)))
    key = names(till)[number]
    await ask(till.redis, "DEL", key)
    await ask(till.redis, "SET", key, "planted")
    before = await snapshot(till.redis, till.shard)
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await till.book(Command(two, (1, 1), event_id=other), Command(three, (2, 1)))
    assert before == await snapshot(till.redis, till.shard)


#: What becomes of a command when one figure of its stock is no number; None is an error.
STOCK_FIELDS = {
    "opens_at_ms": None,
    "closes_at_ms": None,
    "person_max": "NOT_ON_SALE",
    "1.available": None,
    "1.held": None,
    "1.sold": None,
    "1.price_minor": None,
    "1.order_max": None,
}


@pytest.mark.parametrize(("field", "status"), STOCK_FIELDS.items())
@pytest.mark.parametrize("value", ["", "x", None])
async def test_f22_bad_stock_leaves_state_unchanged(
    till: Till, field: str, status: str | None, value: str | None
) -> None:
    """F22: a figure that is garbled or gone never lets a batch through in part."""
    other = new_id("evt")
    await till.publish()
    await till.publish(other)
    stock_key = keys.event(till.shard, till.event).stock
    if value is None:
        await ask(till.redis, "HDEL", stock_key, field)
    else:
        await ask(till.redis, "HSET", stock_key, field, value)
    before = await snapshot(till.redis, till.shard)
    healthy, ill = (
        Command(u, (1, 1), event_id=e) for u, e in zip(users(2), (other, ""), strict=True)
    )
    if status is None:
        with pytest.raises(ResponseError):
            await till.book(healthy, ill)
        assert before == await snapshot(till.redis, till.shard)
    else:
        assert ["BOOKED", status] == [reply[0] for reply in await till.book(healthy, ill)]


@pytest.mark.parametrize("field", ["seq", "persisted_seq", "backlog_max"])
async def test_f22_bad_meta_leaves_state_unchanged(till: Till, user: str, field: str) -> None:
    """F22: a door without one of its figures lets nothing through."""
    await till.publish()
    await ask(till.redis, "HDEL", till.meta, field)
    before = await snapshot(till.redis, till.shard)
    with pytest.raises(ResponseError):
        await till.book(Command(user, (1, 1)))
    assert before == await snapshot(till.redis, till.shard)


async def test_f33_journal_ahead_leaves_state_unchanged(till: Till) -> None:
    """F33: a journal that is already at a higher id is an error, and nothing is changed."""
    await till.publish()
    await ask(till.redis, "XADD", till.journal, "9-1", "records", "from another history")
    before = await snapshot(till.redis, till.shard)
    with pytest.raises(ResponseError, match="equal or smaller"):
        await till.book(*(Command(user, (1, 1)) for user in users(3)))
    assert before == await snapshot(till.redis, till.shard)


@pytest.mark.parametrize(
    ("epoch", "meta", "message"),
    [
        (2, {}, "FENCED 1 open"),
        (1, {"epoch": 2}, "FENCED 2 open"),
        (1, {"state": "recovering"}, "FENCED 1 recovering"),
        (1, {"state": "frozen"}, "FENCED 1 frozen"),
        (1, None, "FENCED false false"),
    ],
)
async def test_i17_fenced(
    till: Till, user: str, epoch: int, meta: dict[str, Any] | None, message: str
) -> None:
    """I17: under another epoch, or while the shard is not open, nothing is changed."""
    await till.publish()
    if meta is None:
        await ask(till.redis, "DEL", till.meta)
    elif meta:
        await till.set_meta(**meta)
    till.epoch = epoch
    before = await snapshot(till.redis, till.shard)
    with pytest.raises(ResponseError, match=f"^{message}$"):
        await till.book(Command(user, (1, 1)))
    assert before == await snapshot(till.redis, till.shard)


async def test_f24_backpressure_by_the_record(till: Till) -> None:
    """F24: the backlog takes as many records as it may, then refuses; replays still pass."""
    await till.publish()
    await till.set_meta(backlog_max=4)
    commands = [Command(user, (1, 1)) for user in users(5)]
    replies = await till.book(*commands)
    assert ["BOOKED"] * 3 + ["BACKPRESSURE"] * 2 == [reply[0] for reply in replies]
    assert ["REPLAYED", "BACKPRESSURE"] == [
        reply[0] for reply in await till.book(commands[0], commands[4])
    ]
    await till.set_meta(persisted_seq=1)
    replies = await till.book(*commands[3:])
    assert ["BOOKED", "BACKPRESSURE"] == [reply[0] for reply in replies]
    await check_consistent(till.redis, till.shard)


async def test_sale_window_by_redis_time(till: Till, user: str) -> None:
    """A sale is open from its first ms to the last before its end, by the clock of Redis."""
    await till.publish()
    now_ms = await till.now_ms()
    await till.set_stock({"opens_at_ms": now_ms, "closes_at_ms": now_ms + 3_600_000})
    [[status, *_]] = await till.book(Command(user, (1, 1), key="a"))
    assert status == "BOOKED"
    await till.set_stock({"opens_at_ms": now_ms + 3_600_000, "closes_at_ms": FAR_MS})
    assert [["SALE_NOT_OPEN", now_ms + 3_600_000]] == await till.book(
        Command(user, (1, 1), key="b")
    )
    await till.set_stock({"opens_at_ms": 0, "closes_at_ms": now_ms})
    assert [["SALE_CLOSED", now_ms]] == await till.book(Command(user, (1, 1), key="b"))


async def test_sale_window_is_half_open(till: Till) -> None:
    """Booking without pause through a short sale, every booking's time lies inside it."""
    await till.publish(tiers=((100_000, 1, 10),))
    opens_at_ms = await till.now_ms() + 15
    closes_at_ms = opens_at_ms + 15
    await till.set_stock({"opens_at_ms": opens_at_ms, "closes_at_ms": closes_at_ms})
    times_ms: list[int] = []
    status = "SALE_NOT_OPEN"
    while status != "SALE_CLOSED":
        [[status, *fields]] = await till.book(Command(new_id("usr"), (1, 1)))
        if status == "BOOKED":
            times_ms.append(fields[2])
    assert [] == [at_ms for at_ms in times_ms if not opens_at_ms <= at_ms < closes_at_ms]


@pytest.mark.parametrize(
    "args",
    [
        ("1 1 3 0 0", "0", "2 0 ~ 1:1", "bk", "usr", "f", "-"),
        ("1 1 3 0 0", "0", "0 0 ~ 1:1", "bk", "usr", "f", "-"),
        ("1 1 3 0 0", "0", "x 0 ~ 1:1", "bk", "usr", "f", "-"),
        ("1 1 3 0 0", "0", "1 x ~ 1:1", "bk", "usr", "f", "-"),
        ("1 1 3 0 0", "0", "1 0 1:1", "bk", "usr", "f", "-"),
        ("1 1 3 0 0", "0", "1 0 ~ ", "bk", "usr", "f", "-"),
        ("1 1 3 0 0", "0", "1 0 ~ 1:1 {}", "bk", "usr", "f", "-"),
        (
            "1 1 3 0 0",
            "0",
            f"1 0 ~ {';'.join(f'{n}:1' for n in range(1, 12))}",
            "bk",
            "u",
            "f",
            "-",
        ),
        ("1 1 3 0 0", "0", "1 0 ~ 1:0", "bk", "usr", "f", "-"),
        ("1 1 3 0 0", "0", "1 0 ~ 1:-1", "bk", "usr", "f", "-"),
        ("1 1 3 0 0", "0", "1 0 ~ 1:11", "bk", "usr", "f", "-"),
        ("1 1 3 0 0", "0", "1 0 ~ 1:x", "bk", "usr", "f", "-"),
        ("1 1 3 0 0", "0", "1 0 ~ 1:1.5", "bk", "usr", "f", "-"),
        ("1 1 3 0 0", "0", "1 0 ~ 1:nan", "bk", "usr", "f", "-"),
        ("1 1 3 0 0", "0", "1 0 ~ 1:1;1:1", "bk", "usr", "f", "-"),
        ("1 1 3 0 0", "0", "1 0 ~ 1:1", "bk", "usr", "f"),
        ("1 1 3 0 0", "0", "1 0 ~ 1:1", "bk", "usr", "f", "-", "-"),
        ("1 1 4 0 0", "0", "1 0 ~ 1:1", "bk", "usr", "f", "-"),
        ("1 1 5 0 0", "0", "1 0 ~ 1:1", "bk", "usr", "f", "-", "-", "-"),
        ("1 1 3 0 0", "1", "1 0 ~ 1:1", "bk", "usr", "f", "-"),
        ("1 1 3 0 0", "00", "1 0 ~ 1:1", "bk", "usr", "f", "-"),
        ("1 1 3 0 0", "", "1 0 ~ 1:1", "bk", "usr", "f", "-"),
        ("0 1 3 0 0", "", "1 0 ~ 1:1", "-"),
        ("1 0 3 0 0", "0", "bk", "usr", "f", "-"),
        ("1 2 3 0 0", "2", "1 0 ~ 1:1", "1 0 ~ 1:2", "bk", "usr", "f", "-"),
        ("1 1 3", "0", "1 0 ~ 1:1", "bk", "usr", "f", "-"),
        ("1 1 3 10 9", "0", "1 0 ~ 1:1", "bk", "usr", "f", "-"),
        ("1 1 3 10 86400001", "0", "1 0 ~ 1:1", "bk", "usr", "f", "-"),
        ("1 1 3 -1 1000", "0", "1 0 ~ 1:1", "bk", "usr", "f", "-"),
        (),
    ],
)
async def test_badarg(till: Till, args: tuple[Any, ...]) -> None:
    """What no right caller sends is an error that changes nothing."""
    await till.publish()
    before = await snapshot(till.redis, till.shard)
    all_names = [
        till.meta,
        till.journal,
        keys.due(till.shard),
        *keys.attempts(till.shard),
        *keys.event(till.shard, till.event),
    ]
    with pytest.raises(ResponseError, match="BADARG"):
        await till.call("book", all_names, 1, till.event, *args)
    assert before == await snapshot(till.redis, till.shard)
    right = ("1 1 3 10 10", "0", "1 0 ~ 1:1", "bk", "usr", "f", "0\tbk\tusr\tf")
    assert (await till.call("book", all_names, 1, till.event, *right)).startswith("ALL BOOKED ")


async def test_i1_tier_on_two_lines(till: Till, user: str) -> None:
    """I1: two lines of one tier, which the caller should never send, sell no place twice."""
    await till.publish(tiers=((1, 100, 10),))
    with pytest.raises(ResponseError, match="BADARG"):
        await till.book(Command(user, (1, 1), (1, 1)))
    assert {1: Tier(1, 0, 0)} == await stock(till.redis, till.shard, till.event)


async def test_detail_is_kept_as_written(till: Till, user: str) -> None:
    """Text of the buyer reaches the record unchanged, whatever it is made of."""
    await till.publish()
    text = 'é ]] "quoted" \\ %s {"kind":"booked"} \u2028'
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    await till.book(Command(user, (1, 1), detail=f'{{"special_requests":"{escaped}"}}'))
    record = (await journal(till.redis, till.shard))[-1].record
    assert isinstance(record, Booked)
    assert text == record.detail.special_requests


async def test_complaint_15_success_is_in_the_journal(till: Till) -> None:
    """Complaint 15: each success has its record, written by the very call that took the places."""
    await till.publish()
    commands = [Command(user, (1, 1)) for user in users(4)]
    replies = await till.book(*commands)
    records = {entry.seq: entry.record for entry in await journal(till.redis, till.shard)}
    for command, reply in zip(commands, replies, strict=True):
        record = records[int(reply[2])]
        assert isinstance(record, Booked)
        assert (till.booking(command), "BOOKED") == (record.booking_id, reply[0])


async def test_complaint_15_no_record_no_success(till: Till, user: str) -> None:
    """Complaint 15: where the record cannot be appended, no place is taken, and nobody is told."""
    await till.publish()
    # An entry far ahead: Redis refuses ids that do not grow.
    await ask(till.redis, "XADD", till.journal, "999-1", "records", "x")
    before = await snapshot(till.redis, till.shard)
    with pytest.raises(ResponseError, match="XADD"):
        await till.book(Command(user, (1, 1)))
    assert before == await snapshot(till.redis, till.shard)

"""Capacity, close, reopen, and cancelled events: replies in the header's order, replays, state."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from engine import keys
from engine.emptier import Emptier
from engine.engine import Engine
from engine.ids import new_id
from engine.records import CapacitySet, EventCancelled
from tests.checks import FAR_MS, ask, journal, persons, users
from tests.lua.conftest import Command
from tests.lua.gate import GateTill, check_folded
from tests.lua.test_gate import snapshot_of


@pytest.fixture
def till(redis, reign) -> GateTill:  # type: ignore[no-untyped-def]
    """Return a till with gates."""
    return GateTill(redis, reign)


@pytest.mark.parametrize(
    ("verb", "words"), [("close", ()), ("reopen", (FAR_MS,)), ("set_capacity", ("1:5",))]
)
async def test_not_on_sale(till: GateTill, verb: str, words: tuple[object, ...]) -> None:
    """An event that is not loaded is NOT_ON_SALE."""
    assert ["NOT_ON_SALE"] == await till.one(verb, *words)
    assert ["NOT_ON_SALE"] == await till.alone("cancel_event")


async def test_raise_and_lower(till: GateTill) -> None:
    """I1: what is added is available; down to what is taken, and no further."""
    await till.publish()
    await till.book(Command(new_id("usr"), (1, 3)))
    await till.hold(new_id("usr"), 2, key="h")
    status, _, seq, _ = await till.one("set_capacity", "1:12,2:6")
    assert ("CAPACITY_SET", "4") == (status, seq)
    assert (12, 7, 2, 3) == await till.counters(1)
    assert (6, 6, 0, 0) == await till.counters(2)
    before = await snapshot_of(till)
    assert ["CAPACITY_BELOW_TAKEN", 2, 5] == await till.one("set_capacity", "2:9,1:4")
    assert ["UNKNOWN_TIER", 2] == await till.one("set_capacity", "2:9,4:4")
    assert ["REPLAYED", "1", "4"] == (await till.one("set_capacity", "2:6,1:12"))[:3]
    assert before == await snapshot_of(till)
    assert "CAPACITY_SET" == (await till.one("set_capacity", "1:5"))[0]
    assert (5, 0, 2, 3) == await till.counters(1)
    record = (await journal(till.redis, till.shard))[-1].record
    assert isinstance(record, CapacitySet)
    assert [(1, 5)] == [(tier.tier_no, tier.capacity) for tier in record.tiers]
    await check_folded(till)


async def test_overdue_holds_do_not_stand_in_the_way(till: GateTill) -> None:
    """A hold whose time is over is ended when the capacity would otherwise be refused."""
    await till.publish()
    await till.hold(new_id("usr"), 4, key="h", ttl_ms=1)
    for _ in range(1_000):
        if "CAPACITY_SET" == (await till.one("set_capacity", "1:0"))[0]:
            break
    assert (0, 0, 0, 0) == await till.counters(1)
    await check_folded(till)


async def test_blocked_places_are_taken(till: GateTill) -> None:
    """A capacity below the blocked places is refused with them in the minimum."""
    await till.publish()
    await till.set_stock({"1.blocked": 3, "1.available": 7})
    assert ["CAPACITY_BELOW_TAKEN", 1, 3] == await till.one("set_capacity", "1:2")
    assert "CAPACITY_SET" == (await till.one("set_capacity", "1:3"))[0]
    assert ("0", "3") == (await till.field("1.available"), await till.field("1.blocked"))


async def test_close_and_reopen(till: GateTill) -> None:
    """A closed sale sells nothing, but holds are confirmed; reopened, it sells again."""
    await till.publish()
    user = new_id("usr")
    await till.hold(user, 1, key="h")
    status, _, seq, at_ms = await till.one("close")
    assert ("CLOSED", "3") == (status, seq)
    assert ["REPLAYED", "1", "3", str(at_ms)] == await till.one("close")
    assert [["SALE_CLOSED", at_ms]] == await till.book(Command(user, (1, 1)))
    assert "CONFIRMED" == await till.confirm(user, key="h")
    assert ["SALE_CLOSED", 5] == await till.one("reopen", 5)
    status, *place = await till.one("reopen", FAR_MS - 1)
    assert "REOPENED" == status
    assert ["REPLAYED", *map(str, place)] == await till.one("reopen", FAR_MS - 1)
    assert "BOOKED" == (await till.book(Command(user, (1, 1))))[0][0]
    await check_folded(till)


async def test_cancel_event(till: GateTill, engine: Engine) -> None:
    """From its record on nobody gets anything; at the end all is available, nobody has any."""
    await till.publish(tiers=[(300, 100, 10), (5, 100, 10)])
    people = users(250)
    for start in (0, 100, 200):
        await till.book(*(Command(user, (1, 1)) for user in people[start : start + 100]))
    holder = new_id("usr")
    await till.hold(holder, 2, key="h")
    await till.set_stock({"2.blocked": 2, "2.available": 3})
    status, *place = await till.alone("cancel_event")
    assert "CANCELLED" == status
    assert ["REPLAYED", *map(str, place)] == await till.alone("cancel_event")
    assert "EVENT_CANCELLED" == await till.confirm(holder, key="h")
    assert "SALE_CLOSED" == (await till.book(Command(holder, (1, 1))))[0][0]
    assert ["EVENT_CANCELLED"] == await till.one("reopen", FAR_MS - 1)
    assert ["EVENT_CANCELLED"] == await till.one("set_capacity", "1:400")
    assert "REPLAYED" == (await till.one("close"))[0]
    # Half the way, then a process that has forgotten where it was.
    own = [till.booking(Command(user, (1, 1))) for user in people[:100]]
    assert ["EMPTIED", 1, 100, 150] == await till.alone("empty_event", *own)
    assert ["EMPTIED", 0, 0, 150] == await till.alone("empty_event", *own)
    assert 150 == await Emptier(engine.shards[till.shard]).turn()
    assert 0 == await Emptier(engine.shards[till.shard]).turn()
    assert (300, 300, 0, 0) == await till.counters(1)
    assert ("3", "2") == (await till.field("2.available"), await till.field("2.blocked"))
    assert {} == await persons(till.redis, till.shard, till.event)
    assert "HOLD_RELEASED" == await till.confirm(holder, key="h")
    assert 0 == await ask(till.redis, "EXISTS", keys.cancelling(till.shard))
    records = [entry.record for entry in await journal(till.redis, till.shard)]
    assert 1 == sum(isinstance(record, EventCancelled) for record in records)
    reasons = {record.reason for record in records if hasattr(record, "reason")}
    assert {"event_cancelled"} == reasons


async def test_late_confirm_of_a_cancelled_event(till: GateTill) -> None:
    """A hold that ran out is not taken anew once the event is cancelled."""
    await till.publish()
    holder = new_id("usr")
    await till.hold(holder, 1, key="h", ttl_ms=1)
    await till.alone("cancel_event")
    assert "EVENT_CANCELLED" == await till.confirm(holder, key="h")


async def test_empty_event_that_is_not_cancelled(till: GateTill) -> None:
    """An event that goes on loses nothing."""
    await till.publish()
    command = Command(new_id("usr"), (1, 1))
    await till.book(command)
    assert ["NOT_FOUND"] == await till.alone("empty_event", till.booking(command))
    with pytest.raises(ResponseError, match="BADARG"):
        await till.alone("empty_event", *(["bk"] * 101))
    await check_folded(till)


@pytest.mark.parametrize("verb", ["close", "reopen", "set_capacity", "cancel_event", "empty_event"])
@pytest.mark.parametrize(
    "key", ["meta", "journal", "stock", "bookings", "holds", "deadlines", "cancelling"]
)
async def test_f22_wrong_type_keys(till: GateTill, verb: str, key: str) -> None:
    """F22: a key of the wrong type is an error that changes nothing, where it is looked at."""
    await till.publish()
    command = Command(new_id("usr"), (1, 1))
    await till.book(command)
    await till.hold(new_id("usr"), 1, key="h")
    names = keys.event(till.shard, till.event)._asdict()
    names |= {"meta": till.meta, "journal": till.journal, "cancelling": keys.cancelling(till.shard)}
    if verb == "empty_event":
        await till.alone("cancel_event")
    await ask(till.redis, "DEL", names[key])
    await ask(till.redis, "SET", names[key], "planted")
    before = await snapshot_of(till)
    words = {
        "reopen": (FAR_MS - 1,),
        "set_capacity": ("1:20",),
        "empty_event": (till.booking(command),),
    }.get(verb, ())
    call = till.alone if verb.endswith("_event") else till.one
    looked_at = {"meta", "journal", "stock"}
    looked_at |= {"cancelling"} if verb.endswith("_event") else set()
    looked_at |= {"bookings", "holds", "deadlines"} if verb == "empty_event" else set()
    if key not in looked_at:
        await call(verb, *words)
        return
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await call(verb, *words)
    assert before == await snapshot_of(till)


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("reopen", ("x",)),
        ("reopen", ("-1",)),
        ("set_capacity", ("",)),
        ("set_capacity", ("1",)),
        ("set_capacity", ("1:10000001",)),
        ("set_capacity", ("1:1,1:2",)),
    ],
)
async def test_badarg(till: GateTill, verb: str, words: tuple[object, ...]) -> None:
    """What no right caller sends is an error that changes nothing."""
    await till.publish()
    before = await snapshot_of(till)
    with pytest.raises(ResponseError, match="BADARG"):
        await till.one(verb, *words)
    assert before == await snapshot_of(till)

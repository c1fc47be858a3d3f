"""`set_capacity`: tiers grow and shrink while they are sold."""

from __future__ import annotations

from engine.ids import new_id
from engine.records import CapacitySet, Reopened
from tests.checks import FAR_MS, journal
from tests.lua.world import Command, Till, check_folded, dump


async def test_raise_and_lower(till: Till) -> None:
    """I1: what is added is available; down to what is taken, and no further."""
    await till.publish()
    await till.book(Command(new_id("usr"), (1, 3)))
    await till.hold(new_id("usr"), 2, key="h")
    status, _, seq, *_ = await till.one("set_capacity", "1:12,2:6")
    assert ("CAPACITY_SET", "4") == (status, seq)
    assert (12, 7, 2, 3) == await till.counters(1)
    assert (6, 6, 0, 0) == await till.counters(2)
    before = await dump(till.redis, till.shard)
    assert ["CAPACITY_BELOW_TAKEN", 2, 5] == await till.one("set_capacity", "2:9,1:4")
    assert ["UNKNOWN_TIER", 2] == await till.one("set_capacity", "2:9,4:4")
    assert ["REPLAYED", "1", "4"] == (await till.one("set_capacity", "2:6,1:12"))[:3]
    assert before == await dump(till.redis, till.shard)
    assert "CAPACITY_SET" == (await till.one("set_capacity", "1:5"))[0]
    assert (5, 0, 2, 3) == await till.counters(1)
    record = (await journal(till.redis, till.shard))[-1].record
    assert isinstance(record, CapacitySet)
    assert [(1, 5)] == [(tier.tier_no, tier.capacity) for tier in record.tiers]
    await check_folded(till)


async def test_with_the_end_of_the_sale(till: Till) -> None:
    """Capacities and the sale's end change together or not at all."""
    await till.publish()
    await till.book(Command(new_id("usr"), (1, 3)))
    before = await dump(till.redis, till.shard)
    assert ["SALE_CLOSED", 5] == await till.one("set_capacity", "1:12;5")
    assert ["CAPACITY_BELOW_TAKEN", 1, 3] == await till.one("set_capacity", f"1:2;{FAR_MS - 1}")
    assert ["UNKNOWN_TIER", 1] == await till.one("set_capacity", f"4:2;{FAR_MS - 1}")
    assert before == await dump(till.redis, till.shard)
    status, _, seq, *_ = await till.one("set_capacity", f"1:12;{FAR_MS - 1}")
    assert ("CAPACITY_SET", "4") == (status, seq)
    records = [entry.record for entry in await journal(till.redis, till.shard)][-2:]
    assert [CapacitySet, Reopened] == [type(record) for record in records]
    assert ["REPLAYED", "1", "4"] == (await till.one("set_capacity", f"1:12;{FAR_MS - 1}"))[:3]
    assert ["REPLAYED", "1", "4"] == (await till.one("reopen", FAR_MS - 1))[:3]
    assert "CLOSED" == (await till.one("close"))[0]
    assert ("CAPACITY_SET", "6") == tuple((await till.one("set_capacity", f"1:12;{FAR_MS}"))[:3:2])
    assert "BOOKED" == (await till.book(Command(new_id("usr"), (1, 1))))[0][0]
    await check_folded(till)


async def test_overdue_holds_do_not_stand_in_the_way(till: Till) -> None:
    """A hold whose time is over is ended when the capacity would otherwise be refused."""
    await till.publish()
    await till.hold(new_id("usr"), 4, key="h", ttl_ms=1)
    for _ in range(1_000):
        if "CAPACITY_SET" == (await till.one("set_capacity", "1:0"))[0]:
            break
    assert (0, 0, 0, 0) == await till.counters(1)
    await check_folded(till)


async def test_blocked_places_are_taken(till: Till) -> None:
    """A capacity below the blocked places is refused with them in the minimum."""
    await till.publish()
    await till.set_stock({"1.blocked": 3, "1.available": 7})
    assert ["CAPACITY_BELOW_TAKEN", 1, 3] == await till.one("set_capacity", "1:2")
    assert "CAPACITY_SET" == (await till.one("set_capacity", "1:3"))[0]
    assert ("0", "3") == (await till.field("1.available"), await till.field("1.blocked"))

"""`cancel_event`: over at once and for good."""

from __future__ import annotations

from engine import keys
from engine.emptier import Emptier
from engine.engine import Engine
from engine.ids import new_id
from engine.records import EventCancelled
from tests.checks import FAR_MS, ask, journal, persons, users
from tests.lua.waitlist import Queue, Waiter
from tests.lua.world import Command, Desk, Till, dump


async def test_cancel_event(till: Till, engine: Engine) -> None:
    """From its record on nobody gets anything; at the end all is available, nobody has any."""
    await till.publish(tiers=[(300, 100, 10), (5, 100, 10)])
    people = users(250)
    for start in (0, 100, 200):
        await till.book(*(Command(user, (1, 1)) for user in people[start : start + 100]))
    holder = new_id("usr")
    await till.hold(holder, 2, key="h")
    await till.set_stock({"2.blocked": 2, "2.available": 3})
    status, *place, _ = await till.alone("cancel_event")
    assert "CANCELLED" == status
    assert ["REPLAYED", *map(str, place)] == await till.alone("cancel_event")
    assert "EVENT_CANCELLED" == await till.confirm(holder, key="h")
    assert ["EVENT_CANCELLED"] == (await till.book(Command(holder, (1, 1))))[0]
    assert ["EVENT_CANCELLED"] == await till.one("reopen", FAR_MS - 1)
    assert ["EVENT_CANCELLED"] == await till.one("set_capacity", "1:400")
    assert "REPLAYED" == (await till.one("close"))[0]
    # Half the way, then a process that has forgotten where it was.
    own = [till.booking(Command(user, (1, 1))) for user in people[:100]]
    assert ["EMPTIED", 1, 100, 150, 0] == await till.alone("empty_event", *own)
    assert ["EMPTIED", 0, 0, 150, 0] == await till.alone("empty_event", *own)
    assert 150 == await Emptier(engine.shards[till.shard]).turn()
    assert 0 == await Emptier(engine.shards[till.shard]).turn()
    assert (300, 300, 0, 0) == await till.counters(1)
    assert ("3", "2") == (await till.field("2.available"), await till.field("2.blocked"))
    assert {} == await persons(till.redis, till.shard, till.event)
    assert "EVENT_CANCELLED" == await till.confirm(holder, key="h")
    assert 0 == await ask(till.redis, "EXISTS", keys.cancelling(till.shard))
    records = [entry.record for entry in await journal(till.redis, till.shard)]
    assert 1 == sum(isinstance(record, EventCancelled) for record in records)
    reasons = {record.reason for record in records if hasattr(record, "reason")}
    assert {"event_cancelled"} == reasons


async def test_late_confirm_of_a_cancelled_event(till: Till) -> None:
    """A hold that ran out is not taken anew once the event is cancelled."""
    await till.publish()
    holder = new_id("usr")
    await till.hold(holder, 1, key="h", ttl_ms=1)
    await till.alone("cancel_event")
    assert "EVENT_CANCELLED" == await till.confirm(holder, key="h")


async def test_tickets_of_a_cancelled_event_stay_as_they_are(till: Till, booking: Command) -> None:
    """From the cancellation on nobody comes in or out, or gives away; known scans are told."""
    first = await till.checkin(booking, 1, scan_id="scan-a")
    await till.alone("cancel_event")
    before = await dump(till.redis, till.shard)
    assert ["EVENT_CANCELLED"] == await till.checkin(booking, 2, scan_id="scan-b")
    assert ["EVENT_CANCELLED"] == await till.checkin(booking, 1)
    assert ["EVENT_CANCELLED"] == await till.undo(booking, 1)
    assert ["EVENT_CANCELLED"] == await till.transfer(booking, new_id("usr"), 2)
    assert ["REPLAYED", *map(str, first[1:-1])] == await till.checkin(booking, 1, scan_id="scan-a")
    assert ["NOT_FOUND"] == await till.checkin(booking, 4)
    assert before == await dump(till.redis, till.shard)
    await till.alone("empty_event", till.booking(booking))
    assert ["TICKET_CANCELLED"] == await till.checkin(booking, 2)


async def test_an_event_that_is_called_off_before_its_sale(till: Till, user: str) -> None:
    """Nobody is told that its sale will open."""
    await till.publish(opens_at_ms=FAR_MS - 1)
    assert ["SALE_NOT_OPEN", FAR_MS - 1] == (await till.book(Command(user, (1, 1))))[0]
    await till.alone("cancel_event")
    assert ["EVENT_CANCELLED"] == (await till.book(Command(user, (1, 1))))[0]
    assert ["EVENT_CANCELLED"] == (await Desk(till).hold(Command(user, (1, 1))))[0]
    assert ["EVENT_CANCELLED"] == await Queue(till).send_join(Waiter(till.event, 1))

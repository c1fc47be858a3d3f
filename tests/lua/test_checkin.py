"""`checkin`: a ticket passes once."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from engine.ids import new_id, ticket_id
from engine.records import CheckedIn
from tests.checks import journal
from tests.lua.world import Command, Till, dump


async def test_checked_in_once(till: Till, booking: Command) -> None:
    """The first scan passes; the second says when and where the first was."""
    status, epoch, seq, at_ms = await till.checkin(booking, 3)
    assert ("CHECKED_IN", "1", "3") == (status, epoch, seq)
    assert ["ALREADY_CHECKED_IN", str(at_ms), "north"] == await till.checkin(
        booking, 3, gate="south"
    )
    record = (await journal(till.redis, till.shard))[-1].record
    assert isinstance(record, CheckedIn)
    assert (ticket_id(till.booking(booking), 3), "north", "usr_s") == (
        record.ticket_id,
        record.gate,
        record.by,
    )


async def test_race_at_the_gates(till: Till, booking: Command) -> None:
    """Of 50 scans of one ticket at the same time exactly one passes."""
    replies = await asyncio.gather(*(till.checkin(booking) for _ in range(50)))
    counts = Counter(reply[0] for reply in replies)
    assert Counter({"CHECKED_IN": 1, "ALREADY_CHECKED_IN": 49}) == counts


@pytest.mark.parametrize("number", [0, 4, -1, 11])
async def test_no_such_ticket(till: Till, booking: Command, number: int) -> None:
    """A number outside the booking's places is NOT_FOUND, as is an unknown booking."""
    assert ["NOT_FOUND"] == await till.checkin(booking, number)
    assert ["NOT_FOUND"] == await till.checkin(Command(new_id("usr")), 1)
    assert ["NOT_FOUND"] == await till.transfer(booking, new_id("usr"), number)


async def test_cancelled_booking_does_not_pass(till: Till, booking: Command) -> None:
    """No ticket of a cancelled booking passes."""
    await till.cancel(booking)
    assert ["TICKET_CANCELLED"] == await till.checkin(booking)
    assert ["TICKET_CANCELLED"] == await till.undo(booking)
    assert ["TICKET_CANCELLED"] == await till.transfer(booking, new_id("usr"))


async def test_f24_backpressure(till: Till, booking: Command) -> None:
    """F24: with no room in the backlog every verb is refused and changes nothing."""
    await till.set_meta(backlog_max=1)
    before = await dump(till.redis, till.shard)
    assert ["BACKPRESSURE"] == await till.checkin(booking)
    assert ["BACKPRESSURE"] == await till.transfer(booking, new_id("usr"))
    assert ["BACKPRESSURE"] == await till.cut(booking, "1:1")
    assert ["BACKPRESSURE"] == await till.one("close")
    assert ["BACKPRESSURE"] == await till.one("reopen", 8_000_000_000_000)
    assert ["BACKPRESSURE"] == await till.one("set_capacity", "1:20")
    assert ["BACKPRESSURE"] == await till.alone("cancel_event")
    assert before == await dump(till.redis, till.shard)

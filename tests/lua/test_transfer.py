"""`transfer`: a ticket changes hands, its place does not."""

from __future__ import annotations

from engine.ids import new_id
from engine.records import Transferred
from tests.checks import journal
from tests.lua.world import Command, Till, check_folded


async def test_transfer(till: Till, booking: Command) -> None:
    """The old code no longer passes, the new one does; only the new holder gives on."""
    friend, other = new_id("usr"), new_id("usr")
    status, *place, version, _ = await till.transfer(booking, friend)
    assert ("TRANSFERRED", 2) == (status, version)
    assert ["REPLAYED", *map(str, place), 2] == await till.transfer(booking, friend)
    assert ["NOT_FOUND"] == await till.transfer(booking, other)
    assert ["TICKET_SUPERSEDED"] == await till.checkin(booking, version=1)
    assert "TRANSFERRED" == (await till.transfer(booking, other, user_id=friend))[0]
    assert "CHECKED_IN" == (await till.checkin(booking, version=3))[0]
    assert "ALREADY_CHECKED_IN" == (await till.transfer(booking, friend, user_id=other))[0]
    record = (await journal(till.redis, till.shard))[-2].record
    assert isinstance(record, Transferred)
    assert (3, other, friend) == (record.ticket_version, record.holder_id, record.by)
    await check_folded(till)


async def test_i12_transfer_keeps_the_count(till: Till, booking: Command) -> None:
    """I12: a place that was given away still counts for who booked it."""
    friend = new_id("usr")
    await till.transfer(booking, friend)
    assert "BOOKED" == (await till.book(Command(friend, (1, 4), (2, 2))))[0][0]
    reply = await till.book(Command(booking.user_id, (1, 4), key="more"))
    assert [["LIMIT_REACHED", "person", 6, 3]] == reply

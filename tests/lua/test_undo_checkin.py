"""`undo_checkin`: a check-in is taken back."""

from __future__ import annotations

from tests.lua.world import Command, Till


async def test_undo(till: Till, booking: Command) -> None:
    """After an undo the ticket passes again; a second undo gives the first reply."""
    assert ["NOT_CHECKED_IN"] == await till.undo(booking)
    await till.checkin(booking)
    status, *place, _ = await till.undo(booking)
    assert "CHECK_IN_UNDONE" == status
    assert ["REPLAYED", *map(str, place)] == await till.undo(booking)
    assert "CHECKED_IN" == (await till.checkin(booking))[0]

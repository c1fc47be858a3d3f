"""`reopen`: a sale that was over goes on."""

from __future__ import annotations

from engine.ids import new_id
from tests.checks import FAR_MS
from tests.lua.world import Command, Till, check_folded


async def test_close_and_reopen(till: Till) -> None:
    """A closed sale sells nothing, but holds are confirmed; reopened, it sells again."""
    await till.publish()
    user = new_id("usr")
    await till.hold(user, 1, key="h")
    status, _, seq, at_ms, _ = await till.one("close")
    assert ("CLOSED", "3") == (status, seq)
    assert ["REPLAYED", "1", "3", str(at_ms)] == await till.one("close")
    assert [["SALE_CLOSED", at_ms]] == await till.book(Command(user, (1, 1)))
    assert "CONFIRMED" == await till.confirm(user, key="h")
    assert ["SALE_CLOSED", 5] == await till.one("reopen", 5)
    status, *place, _ = await till.one("reopen", FAR_MS - 1)
    assert "REOPENED" == status
    assert ["REPLAYED", *map(str, place)] == await till.one("reopen", FAR_MS - 1)
    assert "BOOKED" == (await till.book(Command(user, (1, 1))))[0][0]
    await check_folded(till)

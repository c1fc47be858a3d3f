"""`unblock`: blocked seats are on sale again."""

from __future__ import annotations

from engine.outcomes import Refused
from tests.lua.hall import Hall


async def test_blocked_seats_are_sold_again(hall: Hall) -> None:
    """I1: what is unblocked is free; what was free stays so, and what is left stays blocked."""
    assert not isinstance(await hall.shift("block", "s1-3", "s1-4", "s2-1"), Refused)
    assert not isinstance(await hall.shift("unblock", "s1-3", "s2-1", "s2-2"), Refused)
    assert ["fffbf/fffff", "ffff"] == await hall.statuses()
    await hall.check()

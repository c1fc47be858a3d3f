"""`leave`: off the list, or a declined offer."""

from __future__ import annotations

from engine.ids import new_id
from tests.lua.waitlist import full
from tests.lua.world import Till


async def test_leave(till: Till) -> None:
    """Leaving is clean and may be repeated; who was behind moves up, even to an offer."""
    queue, bookings = await full(till, 1, 1, 1)
    group, single = await queue.join(3), await queue.join(1)
    await till.cancel(bookings[0])
    assert ["NOT_FOUND"] == await queue.leave(group, user_id=new_id("usr"))
    first = await queue.leave(group)
    assert "LEFT" == first[0]
    assert ["REPLAYED", *map(str, first[1:-1])] == await queue.leave(group)
    assert ["left", "offered"] == await queue.statuses(group, single)
    await queue.check()


async def test_leave_while_offered_is_to_decline(till: Till) -> None:
    """Who leaves with an offer declines it; the next is offered the places."""
    queue, [booking] = await full(till, 2)
    first, second = await queue.join(2), await queue.join(2)
    await till.cancel(booking)
    assert "LEFT" == (await queue.leave(first))[0]
    assert "REPLAYED" == (await queue.leave(first))[0]
    assert ["declined", "offered"] == await queue.statuses(first, second)
    await queue.check()

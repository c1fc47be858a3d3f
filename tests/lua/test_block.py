"""`block`: seats out of sale, never those of an owner."""

from __future__ import annotations

from engine.outcomes import Refused
from engine.status import Status
from tests.lua.hall import Hall
from tests.lua.world import dump


async def test_blocked_seats(hall: Hall, user: str) -> None:
    """I1: blocked seats are not for sale, by name or best, and count as blocked."""
    assert not isinstance(await hall.shift("block", "s1-3", "s1-4", "s2-1"), Refused)
    await hall.check()
    reply = await hall.book(user, (1, 1, "s1-3"))
    assert Refused(Status.SEAT_TAKEN, {"line": 1, "seat_id": "s1-3"}) == reply
    before = await dump(hall.redis, hall.shard)
    again = await hall.shift("block", "s1-3", "s2-1")
    assert not isinstance(again, Refused)
    assert again.is_replay
    assert before == await dump(hall.redis, hall.shard)
    await hall.check()


async def test_block_never_touches_an_owner(hall: Hall, user: str) -> None:
    """I2: a held or sold seat is not blocked, nor is any other of the same call."""
    await hall.book(user, (1, 1, "s1-3"))
    await hall.hold(user, (1, 1, "s2-2"), key="h")
    before = await dump(hall.redis, hall.shard)
    for seat, verb in (("s1-3", "block"), ("s2-2", "block"), ("s1-3", "unblock")):
        reply = await hall.shift(verb, "s1-5", seat)
        assert Refused(Status.SEAT_TAKEN, {"line": 2, "seat_id": seat}) == reply
    reply = await hall.shift("block", "s1-5", "s1-6")
    assert Refused(Status.UNKNOWN_SEAT, {"line": 2, "seat_id": "s1-6"}) == reply
    assert before == await dump(hall.redis, hall.shard)

"""`extend`: a deadline moves forward, up to the longest life."""

from __future__ import annotations

from engine.records import Extended
from tests.lua.world import LIFE_MAX_MS, TTL_MS, Command, Desk


async def test_extend_moves_the_deadline_up_to_the_longest_life(desk: Desk, user: str) -> None:
    """A deadline moves forward only, and never beyond the longest life of the hold."""
    command = Command(user, (1, 1))
    [[_, _, _, at_ms, _, first_ms]] = await desk.hold(command)
    reply = await desk.on("extend", command, 10 * TTL_MS, LIFE_MAX_MS)
    limit = await desk.on("extend", command, 10 * TTL_MS, LIFE_MAX_MS)
    shorter = await desk.on("extend", command, 1, LIFE_MAX_MS)

    assert first_ms < at_ms + LIFE_MAX_MS
    assert ["EXTENDED", at_ms + LIFE_MAX_MS] == [reply[0], reply[4]]
    assert [["EXTENSION_LIMIT", at_ms + LIFE_MAX_MS]] * 2 == [limit, shorter]
    record = await desk.last()
    assert isinstance(record, Extended)
    assert at_ms + LIFE_MAX_MS == record.expires_at_ms

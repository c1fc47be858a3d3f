"""`release`: places come back at once, and what is sold stays sold."""

from __future__ import annotations

from engine.records import Released
from tests.checks import Tier
from tests.lua.world import LIFE_MAX_MS, TTL_MS, Command, Desk


async def test_release_gives_places_back(desk: Desk, user: str) -> None:
    """I1, I10: released places are available at once; the hold is over for good."""
    command = Command(user, (1, 2))
    await desk.hold(command)
    first = await desk.on("release", command)
    again = await desk.on("release", command)
    confirm = await desk.on("confirm", command)
    extend = await desk.on("extend", command, TTL_MS, LIFE_MAX_MS)

    assert ["RELEASED", "REPLAYED"] == [first[0], again[0]]
    assert [["HOLD_RELEASED"], ["HOLD_RELEASED"]] == [confirm, extend]
    assert Tier(10, 0, 0) == (await desk.tiers())[1]
    assert {} == await desk.people()
    assert isinstance(await desk.last(), Released)


async def test_release_of_a_booking(desk: Desk, user: str) -> None:
    """I10: what is sold is not released; sold -> free goes through cancel alone."""
    command = Command(user, (1, 2))
    await desk.hold(command)
    await desk.on("confirm", command)

    assert ["HOLD_CONFIRMED"] == await desk.on("release", command)
    assert ["HOLD_CONFIRMED"] == await desk.on("extend", command, TTL_MS, LIFE_MAX_MS)
    assert Tier(8, 0, 2) == (await desk.tiers())[1]

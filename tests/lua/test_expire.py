"""`expire`: overdue holds end, by the sweeper or a sale."""

from __future__ import annotations

import asyncio

from engine import keys
from engine.ids import new_id
from engine.records import Expired
from tests.checks import Tier, ask, journal, rows_of, users
from tests.lua.world import GONE_MS, Command, Desk, wait_until_gone


async def test_complaint_6_overdue_holds_end(desk: Desk, user: str) -> None:
    """Complaint 6: an overdue hold gives its places back, by the sweeper, once."""
    command = Command(user, (1, 2))
    await desk.hold(command, ttl_ms=GONE_MS)
    await wait_until_gone(desk, command)

    assert ["SWEPT", 1, 0] == await desk.expire()
    assert ["SWEPT", 0, 0] == await desk.expire()
    assert Tier(10, 0, 0) == (await desk.tiers())[1]
    assert {} == await desk.people()
    assert isinstance(await desk.last(), Expired)


async def test_complaint_6_a_sale_reclaims_what_is_overdue(desk: Desk, user: str) -> None:
    """Complaint 6: a buyer who finds too little ends overdue holds in the same call."""
    command = Command(user, (2, 5))
    await desk.hold(command, ttl_ms=GONE_MS)
    await wait_until_gone(desk, command)
    other = new_id("usr")
    [reply] = await desk.till.book(Command(other, (2, 4)))

    assert "BOOKED" == reply[0]
    assert Tier(1, 0, 4) == (await desk.tiers())[2]
    assert {other: 4} == await desk.people()
    kinds = [type(entry.record) for entry in await journal(desk.till.redis, desk.till.shard)]
    assert Expired in kinds[:-1]


async def test_f21_sweep_is_bounded_and_forgets(desk: Desk) -> None:
    """F21: a sweep ends so many holds and no more; what ended long ago is forgotten."""
    commands = [Command(each, (1, 1)) for each in users(5)]
    await desk.hold(*commands, ttl_ms=GONE_MS)
    await wait_until_gone(desk, commands[-1])

    assert [["SWEPT", 2, 0], ["SWEPT", 2, 0], ["SWEPT", 1, 0]] == [
        await desk.expire(holds_max=2) for _ in range(3)
    ]
    names = keys.event(desk.till.shard, desk.till.event)
    assert 5 == len(await rows_of(desk.till.redis, names.holds))
    while (await desk.expire(forget_ms=1))[2] == 0:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await desk.expire(forget_ms=1)
    assert {} == await rows_of(desk.till.redis, names.holds)
    assert None is await ask(desk.till.redis, "ZSCORE", keys.due(desk.till.shard), desk.till.event)

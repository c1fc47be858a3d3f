"""
A clock that jumps: holds end early or late, and nothing is oversold for it (F34); set back, it
keeps nobody waiting for as long as it was set (F58).

Redis's clock cannot be set here. For the scripts, which compare what is kept with TIME, an hour
forward is the same as if all that is kept were an hour older, and an hour back as if it were
younger; for the sweeper, which compares two clocks, as if its own stood still, or ran ahead.
"""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from engine import keys
from engine.commands import Extend, Order, Own
from engine.engine import Engine
from engine.ids import booking_of_hold, new_id
from engine.jumps import JUMP_S_MIN, Jumps
from engine.outcomes import Applied, Booked, Extended, Held, Refused
from engine.status import Status
from engine.sweeper import AHEAD_INTERVAL_S, Sweeper
from tests.checks import Tier, ask, check_consistent, members_of, rows_of, stock
from tests.engine.conftest import order, publish

HOUR_MS = 3_600_000
TTL_MS = 600_000
LIFE_MAX_MS = 1_800_000
#: Where a hold's row has the moment it was made and its deadline.
MOMENTS = (4, 8)


async def jump(redis: Redis, shard: int, event: str, by_ms: int) -> None:
    """Let the clock jump: make all moments that are kept of holds older by as much."""
    names = keys.event(shard, event)
    rows = await rows_of(redis, names.holds)
    for own_id, row in rows.items():
        words = row.split(b" ", 11)
        for at in MOMENTS:
            words[at] = b"%d" % (int(words[at]) - by_ms)
        await ask(redis, "HSET", names.holds, own_id, b" ".join(words))
    for key in (names.deadlines, keys.due(shard)):
        for member in await members_of(redis, key):
            if key == names.deadlines or member == event:
                await ask(redis, "ZINCRBY", key, -by_ms, member)


def hold_of(event: str, user: str, quantity: int) -> Order:
    """Make the command of a hold."""
    return Order(event, new_id("hold"), user, "f1", b"{}", ((1, quantity),), ttl_ms=TTL_MS)


@pytest.mark.parametrize("by_ms", [HOUR_MS, -HOUR_MS])
async def test_f34_clock_jump(
    engine: Engine, redis: Redis, shard: int, event: str, by_ms: int
) -> None:
    """F34, I1, I6, I11: an hour forward or back, and right again: one owner for each place."""
    await publish(engine, shard, event, 5)
    taken, kept = hold_of(event, "usr_a", 3), hold_of(event, "usr_b", 2)
    for one in (taken, kept):
        assert isinstance(await engine.hold(shard, one), Held)
    await jump(redis, shard, event, by_ms)

    wants = order(event, "usr_c", (1, 3))
    reply = await engine.book(shard, wants)
    late = await engine.confirm(shard, Own(event, taken.id, "usr_a"))
    if by_ms > 0:  # All are overdue: a sale that needs the places takes them.
        assert isinstance(reply, Booked)
        assert isinstance(late, Refused)
        assert Status.HOLD_EXPIRED == late.status
    else:  # None will be for a long time: they keep their places, and may be confirmed.
        assert isinstance(reply, Refused)
        assert Status.ALL_HELD == reply.status
        assert isinstance(late, Booked)
    first = await engine.confirm(shard, Own(event, kept.id, "usr_b"))
    assert isinstance(first, Booked)  # Its places are there, early or late.
    await jump(redis, shard, event, -by_ms)
    again = await engine.confirm(shard, Own(event, kept.id, "usr_b"))
    assert isinstance(again, Booked)
    assert (first.seq, True) == (again.seq, again.is_replay)

    assert {1: Tier(0, 0, 5)} == await stock(redis, shard, event)
    await check_consistent(redis, shard)
    own = Own(event, booking_of_hold(kept.id), "usr_b")
    assert isinstance(await engine.cancel(shard, own), Applied)
    new = hold_of(event, "usr_d", 2)
    assert isinstance(await engine.hold(shard, new), Held)
    # By more than it has: within one ms, the same again would be no later.
    longer = Extend(event, new.id, "usr_d", ttl_ms=2 * TTL_MS, life_max_ms=LIFE_MAX_MS)
    extended = await engine.extend(shard, longer)
    assert isinstance(extended, Extended)
    await check_consistent(redis, shard)


async def test_f34_sweeper_waits_after_a_jump(
    engine: Engine, redis: Redis, shard: int, event: str
) -> None:
    """F34: the sweeper ends nothing after a jump, for as long; then it ends what is overdue."""
    await publish(engine, shard, event, 5)
    own_s = 1_000.0
    sweeper = Sweeper(engine.shards[shard], monotonic_s=lambda: own_s)
    held = hold_of(event, "usr_a", 3)
    assert isinstance(await engine.hold(shard, held), Held)
    assert 0 == await sweeper.sweep()
    await jump(redis, shard, event, HOUR_MS)
    own_s -= 2 * JUMP_S_MIN  # Ours has gone on, and Redis's by so much more.

    assert 0 == await sweeper.sweep()
    assert 0 == await sweeper.sweep()
    assert {1: Tier(2, 3, 0)} == await stock(redis, shard, event)
    own_s += 3 * JUMP_S_MIN

    assert 1 == await sweeper.sweep()
    assert {1: Tier(5, 0, 0)} == await stock(redis, shard, event)
    await check_consistent(redis, shard)


async def test_f58_a_clock_set_back_lengthens_no_hold(
    engine: Engine, redis: Redis, shard: int, event: str
) -> None:
    """F58: a hold ends when it would have ended, though its deadline is an hour away by then."""
    await publish(engine, shard, event, 5)
    own_s = 1_000.0
    sweeper = Sweeper(engine.shards[shard], monotonic_s=lambda: own_s)
    assert isinstance(await engine.hold(shard, hold_of(event, "usr_a", 3)), Held)
    assert 0 == await sweeper.sweep()
    await jump(redis, shard, event, -HOUR_MS)
    own_s += HOUR_MS / 1000  # Ours is ahead now of what Redis's has become.

    assert 0 == await sweeper.sweep()
    refused = await engine.book(shard, order(event, "usr_c", (1, 3)))
    assert isinstance(refused, Refused)
    assert Status.ALL_HELD == refused.status
    assert int(refused.fields["retry_after_ms"]) <= TTL_MS
    fresh = hold_of(event, "usr_b", 1)
    assert isinstance(await engine.hold(shard, fresh), Held)
    await jump_one(redis, shard, event, TTL_MS, but=fresh.id)
    own_s += AHEAD_INTERVAL_S
    assert 1 == await sweeper.sweep()
    assert {1: Tier(4, 1, 0)} == await stock(redis, shard, event)
    assert isinstance(await engine.confirm(shard, Own(event, fresh.id, "usr_b")), Booked)
    await check_consistent(redis, shard)


async def jump_one(redis: Redis, shard: int, event: str, by_ms: int, *, but: str) -> None:
    """Let the time of all holds but one pass, as `jump` does."""
    names = keys.event(shard, event)
    kept = await ask(redis, "HGET", names.holds, but)
    deadline = await ask(redis, "ZSCORE", names.deadlines, but)
    await jump(redis, shard, event, by_ms)
    await ask(redis, "HSET", names.holds, but, kept)
    await ask(redis, "ZADD", names.deadlines, deadline, but)


def test_f58_jumps_add_up() -> None:
    """F58: what two clocks tell of each other, set both ways, at once or in steps."""
    own_s = 0.0
    jumps = Jumps(lambda: own_s)

    def hear(redis_s: float) -> tuple[float, bool, int]:
        return jumps.hear(redis_s), jumps.must_wait, jumps.behind_ms

    assert (0.0, False, 0) == hear(100.0)
    own_s = 10.0
    assert (0.0, False, 0) == hear(110.0 + JUMP_S_MIN)  # No jump: the clocks part a little.
    assert (-60.0, False, 60_000) == hear(50.0 + JUMP_S_MIN)
    assert (-60.0, False, 120_000) == hear(-10.0 + JUMP_S_MIN)
    assert (20.0, True, 100_000) == hear(10.0 + JUMP_S_MIN)
    assert (200.0, True, 0) == hear(210.0 + JUMP_S_MIN)
    assert (-200.0, False, 200_000) == hear(10.0 + JUMP_S_MIN)
    own_s = 209.0
    assert 200_000 == jumps.behind_ms
    own_s = 210.0
    assert 0 == jumps.behind_ms  # It has caught up with all that was made.

"""R1, I9: random histories of one small event, folded after each step by an independent model."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from engine import keys, scripts
from engine.door import Reign
from engine.ids import booking_of_offer, new_id
from engine.redis_client import connect
from evently.embedded import ValkeyServer
from tests.checks import ask, members_of
from tests.conftest import BACKLOG_MAX, TIMEOUT_MS
from tests.lua.waitlist import Queue, Waiter
from tests.lua.world import Command, Till

#: See `make proofs`.
pytestmark = pytest.mark.slow

STEPS = 40
EXAMPLES = 60


class History:
    """One random history; what may be chosen depends on what has been."""

    def __init__(self, till: Till, seed: int, policy: str) -> None:
        self.chance = random.Random(seed)
        self.till = till
        self.queue = Queue(till, policy=policy)
        self.people = [new_id("usr") for _ in range(6)]
        self.waiters: list[Waiter] = []
        self.bookings: list[tuple[str, str]] = []
        self.holds: list[tuple[str, str]] = []

    def steps(self) -> list[Callable[[], Awaitable[object]]]:
        """All that may happen."""
        return [
            self.book,
            self.hold,
            self.join,
            self.join,
            self.leave,
            self.accept,
            self.decline,
            self.cancel,
            self.cancel,
            self.overdue,
            self.queue.expire,
            self.end_hold,
            self.late_confirm,
            self.lose_patience,
            self.again,
        ]

    async def run(self) -> None:
        """Publish, act, and check after each step."""
        await self.till.publish(tiers=[(5, 2500, 4), (2, 100, 4)], person_max=5)
        for _ in range(STEPS):
            await self.chance.choice(self.steps())()
            await self.queue.check()

    async def book(self) -> None:
        """Ask for places at once."""
        command = Command(
            self.chance.choice(self.people), (1, self.chance.randint(1, 3)), key=new_id("usr")
        )
        [reply] = await self.till.book(command)
        if reply[0] == "BOOKED":
            self.bookings.append((self.till.booking(command), command.user_id))

    async def hold(self) -> None:
        """Ask for places for a while."""
        user_id = self.chance.choice(self.people)
        own_id, reply = await self.queue.hold(user_id, self.chance.randint(1, 3))
        if reply[0] == "HELD":
            self.holds.append((own_id, user_id))

    async def join(self) -> None:
        """Ask to wait, sometimes for the first place."""
        waiter = Waiter(
            self.till.event, self.chance.randint(1, 3), user_id=self.chance.choice(self.people)
        )
        own = [hold for hold, user_id in self.holds if user_id == waiter.user_id] or ["-"]
        reply = await self.queue.send_join(waiter, after_hold=self.chance.choice([*own, "-"]))
        if reply[0] == "JOINED":
            self.waiters.append(waiter)

    async def leave(self) -> None:
        """Leave with whatever entry."""
        if self.waiters:
            await self.queue.leave(self.chance.choice(self.waiters))

    async def accept(self) -> None:
        """Try to accept whatever offer."""
        if self.waiters:
            waiter = self.chance.choice(self.waiters)
            if (await self.queue.accept(waiter))[0] == "CONFIRMED":
                self.bookings.append((booking_of_offer(waiter.offer), waiter.user_id))

    async def decline(self) -> None:
        """Decline whatever offer."""
        if self.waiters:
            await self.queue.decline(self.chance.choice(self.waiters))

    async def cancel(self) -> None:
        """Cancel some booking, perhaps again."""
        if self.bookings:
            await self.queue.call("cancel", *self.chance.choice(self.bookings))

    async def overdue(self) -> None:
        """Let a deadline pass."""
        live = await members_of(self.till.redis, self.queue.names.deadlines)
        if live:
            await self.queue.overdue(self.chance.choice(live))

    async def end_hold(self) -> None:
        """Release some hold."""
        if self.holds:
            await self.queue.call("release", *self.chance.choice(self.holds))

    async def late_confirm(self) -> None:
        """Confirm some hold, in time or late."""
        if self.holds:
            own_id, user_id = self.chance.choice(self.holds)
            if (await self.queue.call("confirm", own_id, user_id))[0] == "CONFIRMED":
                self.bookings.append((f"bk_{own_id[5:]}", user_id))

    async def lose_patience(self) -> None:
        """Let the head of the list have stopped it long ago."""
        heads = (await members_of(self.till.redis, self.queue.names.waitlist))[:1]
        for waiter in self.waiters:
            is_head = bool(heads) and heads[0].endswith(waiter.id)
            if is_head and (await self.queue.entry(waiter)).stalled_at_ms > 1:
                await self.queue.impatient(waiter)

    async def again(self) -> None:
        """F37: a join that was made before is only replayed."""
        if self.waiters:
            reply = await self.queue.send_join(self.chance.choice(self.waiters))
            assert reply[0] == "REPLAYED"


async def open_till(redis: Redis, shard: int) -> Till:
    """Empty the shard and open it."""
    used = await ask(redis, "KEYS", f"{keys.tag(shard)}:*")
    if used:
        await ask(redis, "DEL", *used)
    nonce = f"random-{shard}"
    await ask(
        redis,
        "HSET",
        keys.meta(shard),
        "epoch",
        1,
        "state",
        "open",
        "seq",
        0,
        "persisted_seq",
        0,
        "backlog_max",
        BACKLOG_MAX,
    )
    for name in scripts.NAMES:
        await ask(redis, "SCRIPT LOAD", scripts.render(name, nonce))
    return Till(redis, Reign(shard=shard, epoch=1, script_shas=scripts.shas(nonce)))


@given(seed=st.integers(0, 2**32), policy=st.sampled_from(["strict", "skip"]))
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_i9_random_histories(valkey: ValkeyServer, shard: int, seed: int, policy: str) -> None:
    """R1, I1, I9, I12: whatever happens, Redis is what its records say and nobody is overtaken."""

    async def run() -> None:
        redis = connect(valkey.url, timeout_ms=TIMEOUT_MS)
        try:
            await History(await open_till(redis, shard), seed, policy).run()
        finally:
            await redis.aclose()

    asyncio.run(run())

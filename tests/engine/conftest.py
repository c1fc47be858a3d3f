"""A proxy before Redis that can hold back or swallow replies, and what engine tests order."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from engine.commands import Order, Publish, TierStock
from engine.door import Reign
from engine.engine import Engine
from engine.ids import new_id
from engine.outcomes import Applied
from engine.redis_client import connect
from evently.embedded import ValkeyServer
from loadtests.chaos.proxy import Link, Trouble
from loadtests.chaos.proxy import Proxy as FaultProxy
from tests.checks import FAR_MS, ask, make_booking_id
from tests.conftest import TIMEOUT_MS, start_engine

Start = Callable[..., Awaitable[Engine]]


class Proxy(FaultProxy):
    """Stands before Redis (rig R4): counts script calls, and loses one reply if told to."""

    def __init__(self, target: Path, path: Path) -> None:
        super().__init__(path, target)
        self.path = path
        self.url = f"unix://{path}"
        #: Script calls that were sent.
        self.calls = 0
        #: Set when a reply was read from Redis and not delivered.
        self.has_swallowed = asyncio.Event()
        #: Whether the next piece of a reply is lost; only that one, so that a retry would succeed.
        self.swallows_next = False

    def delay(self, seconds: float) -> None:
        """Hold each piece of a reply back for so long."""
        self.trouble(reply=Trouble(delay_s=seconds))

    async def _send(
        self,
        link: Link,
        direction: str,
        trouble: Trouble,
        piece: bytes,
        writer: asyncio.StreamWriter,
    ) -> None:
        if direction == "request":
            self.calls += piece.count(b"EVALSHA")
        elif self.swallows_next:
            self.swallows_next = False
            self.has_swallowed.set()
            return
        await super()._send(link, direction, trouble, piece, writer)


@pytest.fixture
async def proxy(valkey: ValkeyServer, server_dir: Path) -> AsyncIterator[Proxy]:
    """Run a proxy before the test's Redis."""
    proxy = Proxy(valkey.socket_path, server_dir / f"{secrets.token_hex(4)}.sock")
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
def event() -> str:
    """Draw an event."""
    return new_id("evt")


@contextlib.asynccontextmanager
async def memory_full(redis: Redis) -> AsyncIterator[None]:
    """Leave Redis no memory, for a while."""
    limit = (await ask(redis, "CONFIG GET", "maxmemory"))["maxmemory"]
    await ask(redis, "CONFIG SET", "maxmemory", "1")
    try:
        yield
    finally:
        await ask(redis, "CONFIG SET", "maxmemory", limit)


@pytest.fixture
async def start(valkey: ValkeyServer, reign: Reign) -> AsyncIterator[Start]:
    """Return what starts further engines on the test's shard; they stop with the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            url: str = valkey.url, *, timeout_ms: int = TIMEOUT_MS, **options: Any
        ) -> Engine:
            engine = await start_engine(connect(url, timeout_ms=timeout_ms), reign, **options)
            stack.push_async_callback(engine.stop, timeout_s=10)
            return engine

        yield start


async def publish(
    engine: Engine, shard: int, event_id: str, *capacities: int, person_max: int = 1000
) -> None:
    """Load an event with tiers of *capacities*."""
    tiers = tuple(TierStock(capacity, 100, 10) for capacity in capacities)
    applied = await engine.publish(shard, Publish(event_id, "p", 0, FAR_MS, person_max, tiers))
    assert isinstance(applied, Applied)


def order(
    event_id: str,
    user_id: str,
    *items: tuple[int, int],
    key: str = "k",
    fingerprint: str = "f1",
    detail: bytes = b"{}",
) -> Order:
    """Make the command of one order; a single place of tier 1 if nothing is said."""
    booking = make_booking_id(event_id, user_id, key)
    return Order(event_id, booking, user_id, fingerprint, detail, items or ((1, 1),))

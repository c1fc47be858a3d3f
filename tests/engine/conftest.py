"""A proxy before Redis that can hold back or swallow replies, and what engine tests order."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.commands import Order, Publish, TierStock
from engine.engine import Engine
from engine.ids import new_id
from engine.outcomes import Applied
from evently.embedded import ValkeyServer
from tests.checks import FAR_MS, make_booking_id

#: Largest piece that the proxy carries at once.
CHUNK_BYTES = 65_536


class Proxy:
    """A unix socket before Redis: requests always pass, replies as the test says (rig R4)."""

    def __init__(self, target: Path, path: Path) -> None:
        self.path = path
        self.url = f"unix://{path}"
        #: Seconds that each piece of a reply is held back.
        self.delay_s = 0.0
        #: Script calls that were sent.
        self.calls = 0
        #: Set when a reply was read from Redis and not delivered.
        self.has_swallowed = asyncio.Event()
        #: Whether the next piece of a reply is lost; only that one, so that a retry would succeed.
        self.swallows_next = False
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._accept, str(self.path))

    def cut(self) -> None:
        """Break all connections, as a failing network would."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def stop(self) -> None:
        """Stop listening and break all connections."""
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(str(self._target))
        self._writers += [writer, up_writer]
        for work in (self._requests(reader, up_writer), self._replies(up_reader, writer)):
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK_BYTES):
                self.calls += data.count(b"EVALSHA")
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK_BYTES):
                if self.swallows_next:
                    self.swallows_next = False
                    self.has_swallowed.set()
                    continue
                await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()
        writer.close()


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

"""Rig R7: a disk that is full, with a real server and without being root; F16 is in engine/."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from engine import keys
from engine.commands import Publish, TierStock
from engine.engine import Engine
from engine.errors import EngineError
from engine.ids import new_id
from engine.outcomes import Applied, Booked
from engine.redis_client import connect
from evently.embedded import ValkeyServer
from tests.checks import FAR_MS, check_consistent, rows_of
from tests.conftest import TIMEOUT_MS
from tests.engine.conftest import order

#: Blocks of 512 bytes that a file of the small server may have.
FILE_BLOCKS = 80


class SmallDisk(ValkeyServer):
    """A Valkey whose files may not grow beyond some blocks: writing then fails with EFBIG."""

    is_small = True

    def _prepare(self) -> list[str]:
        words = super()._prepare()
        if not self.is_small:
            return words
        # Ignored, the signal becomes an error of the write, as a full disk gives.
        script = f"trap '' XFSZ; ulimit -f {FILE_BLOCKS}; exec \"$@\""
        return ["/bin/sh", "-c", script, "sh", *words]


@pytest.fixture
def valkey(server_dir: Path) -> Iterator[SmallDisk]:
    """Run a Valkey of the test's own, with a small disk."""
    server = SmallDisk(Path(tempfile.mkdtemp(dir=server_dir)))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def event(engine: Engine, shard: int) -> str:
    """Load an event with places for everybody."""
    event = new_id("evt")
    command = Publish(event, "p", 0, FAR_MS, 1_000, (TierStock(100_000, 100, 10),))
    assert isinstance(await engine.publish(shard, command), Applied)
    return event


@pytest.fixture
async def fresh_redis(valkey: SmallDisk) -> AsyncIterator[Redis]:
    """Return a client for the time after the fault."""
    client = connect(valkey.url, timeout_ms=TIMEOUT_MS)
    yield client
    await client.aclose()


async def test_f18_disk_full(
    valkey: SmallDisk, engine: Engine, fresh_redis: Redis, shard: int, event: str
) -> None:
    """F18: Redis dies of a full disk rather than acknowledge, and has all it acknowledged."""
    acked: list[str] = []
    has_failed = False
    while not has_failed:
        one = order(event, new_id("usr"))
        try:
            assert isinstance(await engine.book(shard, one), Booked)
            acked.append(one.id)
        except EngineError:
            has_failed = True
    assert len(acked) > 10
    while valkey.is_running:  # noqa: ASYNC110  It is on its way out.
        await asyncio.sleep(0.01)
    valkey.is_small = False
    valkey.start()

    rows = await rows_of(fresh_redis, keys.event(shard, event).bookings)
    assert set(acked) <= {booking_id.decode() for booking_id in rows}
    await check_consistent(fresh_redis, shard)

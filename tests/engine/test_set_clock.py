"""
Redis's clock set, truly: a Valkey whose calls of the clock go through a few lines of C (F34, F58).

Where there is no compiler, what tests/engine/test_clock.py and tests/lua shift has to do.
"""

from __future__ import annotations

import asyncio
import shutil
import struct
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine import sweeper
from engine.calls import Limit
from engine.commands import Order, Own
from engine.engine import Engine
from engine.ids import new_id
from engine.outcomes import Booked, Held, Refused
from engine.redis_client import connect
from engine.status import Status
from engine.sweeper import Sweeper
from evently.embedded import ValkeyServer
from tests.checks import Tier, check_consistent, stock
from tests.conftest import TIMEOUT_MS, open_door, start_engine
from tests.engine.conftest import order, publish

HOUR_S = 3_600
SHARD = 0
MINUTE = Limit(3, 60_000)
SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *by_s;

__attribute__((constructor)) static void begin(void) {
  by_s = mmap(0, 8, PROT_READ, MAP_SHARED, open(getenv("SET_CLOCK"), O_RDONLY), 0);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = syscall(SYS_clock_gettime, clock, now);
  if (clock == CLOCK_REALTIME) now->tv_sec += *by_s;
  return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
  struct timespec exact;
  clock_gettime(CLOCK_REALTIME, &exact);
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *into) {
  struct timespec exact;
  clock_gettime(CLOCK_REALTIME, &exact);
  if (into) *into = exact.tv_sec;
  return exact.tv_sec;
}
"""

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no compiler")


class Clock:
    """What the server's clock is set by."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set(0)

    def set(self, by_s: int) -> None:
        """Set the clock to what is right and so many seconds."""
        with self._path.open("r+b" if self._path.exists() else "wb") as file:
            file.write(struct.pack("q", by_s))


@pytest.fixture
def clock(server_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of all servers that this test starts."""
    folder = Path(tempfile.mkdtemp(dir=server_dir))
    folder.chmod(0o755)
    source, library, state = (folder / name for name in ("clock.c", "clock.so", "clock"))
    source.write_text(SOURCE)
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    clock = Clock(state)
    env = {"LD_PRELOAD": str(library), "SET_CLOCK": str(state)}
    monkeypatch.setattr("evently.embedded.server.SERVER_ENV", env)
    return clock


@pytest.fixture
async def own_engine(server_dir: Path, clock: Clock) -> AsyncIterator[tuple[Engine, ValkeyServer]]:
    """Return an engine on a Valkey of the test's own, with a limit of attempts."""
    server = ValkeyServer(Path(tempfile.mkdtemp(dir=server_dir)))
    server.start()
    redis = connect(server.url, timeout_ms=TIMEOUT_MS)
    reign = await open_door(redis, SHARD, nonce="clock")
    await redis.aclose()
    engine = await start_engine(
        connect(server.url, timeout_ms=TIMEOUT_MS), reign, booking_limit=MINUTE
    )
    try:
        yield engine, server
    finally:
        await engine.stop(timeout_s=5)
        server.stop()


@pytest.mark.parametrize("steps_s", [(-HOUR_S,), (HOUR_S, 0), (HOUR_S, -HOUR_S, 0)], ids=str)
async def test_f34_f58_nobody_waits_for_a_clock(
    own_engine: tuple[Engine, ValkeyServer], clock: Clock, event: str, steps_s: tuple[int, ...]
) -> None:
    """F34, F58: however the clock is set, honest buyers book, and the limit stands."""
    engine, server = own_engine
    await publish(engine, SHARD, event, 100, person_max=100)
    buyers = [new_id("usr") for _ in range(5)]
    for number, by_s in enumerate((0, *steps_s)):
        clock.set(by_s)
        for user in buyers:
            booked = await engine.book(SHARD, order(event, user, key=f"k{number}"))
            assert isinstance(booked, Booked)
    refused = [
        reply
        for number in range(4)
        if isinstance(
            reply := await engine.book(SHARD, order(event, buyers[0], key=f"more{number}")), Refused
        )
    ]
    assert {Status.RATE_LIMITED} == {reply.status for reply in refused}
    assert all(int(reply.fields["retry_after_ms"]) <= 20_000 for reply in refused)
    redis = connect(server.url, timeout_ms=TIMEOUT_MS)
    await check_consistent(redis, SHARD)
    await redis.aclose()


async def test_f34_f58_holds_last_as_long_as_was_said(
    own_engine: tuple[Engine, ValkeyServer],
    clock: Clock,
    event: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F34, F58: set forward, no hold ends at once; set back again, none lasts for an hour more."""
    monkeypatch.setattr(sweeper, "AHEAD_INTERVAL_S", 0.0)
    engine, server = own_engine
    sweeping = Sweeper(engine.shards[SHARD])
    await publish(engine, SHARD, event, 10)
    redis = connect(server.url, timeout_ms=TIMEOUT_MS)

    async def hold(user: str, quantity: int, ttl_ms: int) -> Own:
        made = Order(event, new_id("hold"), user, "f1", b"{}", ((1, quantity),), ttl_ms=ttl_ms)
        assert isinstance(await engine.hold(SHARD, made), Held)
        return Own(event, made.id, user)

    kept = await hold(new_id("usr"), 1, 600_000)
    assert 0 == await sweeping.sweep()
    clock.set(HOUR_S)
    assert 0 == await sweeping.sweep()
    while not sweeping._jumps.must_wait:  # Valkey looks at its clock once a turn of its loop.
        assert 0 == await sweeping.sweep()  # It waits: `kept` seems overdue.
    await hold(new_id("usr"), 2, 1_000)
    last = await hold(new_id("usr"), 3, 600_000)
    clock.set(0)
    count = await sweeping.sweep()
    while not count:
        count = await sweeping.sweep()
        await asyncio.sleep(0.05)
    assert 1 == count
    assert {1: Tier(6, 4, 0)} == await stock(redis, SHARD, event)
    for own in (kept, last):
        assert isinstance(await engine.confirm(SHARD, own), Booked)
    assert {1: Tier(6, 0, 4)} == await stock(redis, SHARD, event)
    await check_consistent(redis, SHARD)
    await redis.aclose()

"""
Real servers for all tests: one Valkey and one PostgreSQL per test process, nothing faked.

With `pytest -n`, each worker has servers of its own. Tests are kept apart by the shard: each gets
a number that no other test uses, so nothing is ever flushed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from engine import acl, keys, scripts
from engine.door import Reign
from engine.engine import Engine
from engine.errors import ShardRecovering
from engine.redis_client import connect
from evently.embedded import PostgresServer, ValkeyServer
from evently.settings import ENV_FILE, Settings
from loadtests.server import open_folder
from store.migrate import migrate
from store.pool import create_pool
from tests.checks import ask
from tests.shards import SHARDS

TIMEOUT_MS = 10_000
BACKLOG_MAX = 1_000_000
#: File system that is kept in memory, and what must be free on it for the servers of all workers.
MEMORY = Path("/dev/shm")  # noqa: S108  Folders in it are as private as in /tmp.
MEMORY_BYTES_MIN = 6 * 2**30

#: Of the users that `role_url` logs in as, on servers that are started with them.
PASSWORDS = {role: f"password of {role}" for role in acl.ROLES}

OpenShard = Callable[..., Awaitable[Reign]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know the size of a run."""
    parser.addoption("--large", action="store_true", help="simulations of nightly size")


def pytest_configure() -> None:
    """Forget the developer's own settings, and `.env`, before anything reads them."""
    for name in [name for name in os.environ if name.startswith("EVENTLY_")]:
        del os.environ[name]
    os.environ[ENV_FILE] = os.devnull


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer() -> Generator[None, object, object]:
    """
    Let the alarm of a test ring again and again until the test ends.

    What it raises within a callback or a background task goes to asyncio, which only tells of it:
    a test that waits for ever would then never end.
    """
    result = yield
    left_s, _ = signal.getitimer(signal.ITIMER_REAL)
    if left_s:
        signal.setitimer(signal.ITIMER_REAL, left_s, min(left_s, 30.0))
    return result


@pytest.fixture(scope="session")
def server_dir() -> Iterator[Path]:
    """Make a folder for the servers; short, since a unix socket's path may have 107 bytes."""
    with open_folder(memory()) as path:
        yield path


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder of the test's own that every user may enter, as a project's usually is."""
    with open_folder(memory()) as path:
        yield path


def memory() -> Path | None:
    """Return where files are kept in memory, if there is room: no machine loses power here."""
    is_roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN
    return MEMORY if is_roomy else None


@pytest.fixture(scope="session")
def valkey(server_dir: Path) -> Iterator[ValkeyServer]:
    """Run a Valkey with the settings of production: every reply is on disk."""
    server = ValkeyServer(server_dir / "valkey")
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres(server_dir: Path) -> Iterator[PostgresServer]:
    """Run a PostgreSQL with all migrations applied."""
    server = PostgresServer(server_dir)
    server.start()
    try:
        asyncio.run(migrate(server.url))
        yield server
    finally:
        # Its data is thrown away: nothing is worth a last checkpoint.
        server.kill()


@pytest.fixture
async def redis(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    """Connect as the engine does."""
    client = connect(valkey.url, timeout_ms=TIMEOUT_MS)
    yield client
    await client.aclose()


@pytest.fixture
async def database(postgres: PostgresServer) -> AsyncIterator[asyncpg.Pool]:
    """Connect as the services do."""
    pool = await create_pool(postgres.url, connections_max=4, timeout_ms=TIMEOUT_MS)
    yield pool
    await pool.close()


@pytest.fixture
def shard() -> int:
    """Return the number of a shard that nobody has used."""
    return next(SHARDS)


async def open_door(
    redis: Redis, shard: int, epoch: int = 1, *, nonce: str, backlog_max: int = BACKLOG_MAX
) -> Reign:
    """Do what a coordinator does, in short: open a shard under an epoch, load scripts."""
    fields = f"epoch {epoch} state open seq 0 persisted_seq 0 backlog_max {backlog_max}".split()
    await ask(redis, "HSET", keys.meta(shard), *fields, "layout", keys.LAYOUT_VERSION)
    for name in scripts.NAMES:
        await ask(redis, "SCRIPT LOAD", scripts.render(name, nonce))
    return Reign(shard=shard, epoch=epoch, script_shas=scripts.shas(nonce))


@pytest.fixture
def open_shard(redis: Redis, shard: int) -> OpenShard:
    """Return what opens the test's shard under an epoch."""

    async def open_it(*, epoch: int = 1, backlog_max: int = BACKLOG_MAX) -> Reign:
        return await open_door(
            redis, shard, epoch, nonce=f"test-{shard}-{epoch}", backlog_max=backlog_max
        )

    return open_it


@pytest.fixture
async def reign(open_shard: OpenShard) -> Reign:
    """Open the test's shard under epoch 1."""
    return await open_shard()


@pytest.fixture
async def engine(valkey: ValkeyServer, reign: Reign) -> AsyncIterator[Engine]:
    """Return an engine whose door to the test's shard is open."""
    engine = await start_engine(connect(valkey.url, timeout_ms=TIMEOUT_MS), reign)
    yield engine
    await engine.stop(timeout_s=5)


def role_url(server: ValkeyServer, role: str) -> str:
    """Return the URL of a server with users (`PASSWORDS`), as the processes of *role* have it."""
    settings = Settings.from_env(
        {"EVENTLY_REDIS_URL": server.url, f"EVENTLY_REDIS_{role.upper()}_PASSWORD": PASSWORDS[role]}
    )
    return settings.redis_servers_as(role)["0"]


async def start_engine(client: Redis, reign: Reign, **options: Any) -> Engine:
    """Start an engine that acts under *reign*, and wait until its door is open."""

    async def read_reign(shard: int) -> Reign | None:
        if shard != reign.shard:
            await asyncio.Event().wait()  # The other shards belong to other tests.
        return reign

    engine = Engine({"0": client}, read_reign, shards=[reign.shard], **options)
    engine.start()
    while True:
        try:
            engine.reign(reign.shard)
        except ShardRecovering:
            await asyncio.sleep(0)
        else:
            return engine

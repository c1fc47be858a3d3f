"""A box office whose Redis may be killed, cut and wiped, opened by a real coordinator."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from engine import keys
from engine.commands import Order
from engine.engine import Engine
from engine.errors import ShardRecovering
from engine.ids import new_id
from engine.outcomes import Booked
from engine.redis_client import connect as connect_redis
from evently.embedded import PostgresServer, ValkeyServer
from evently.ports import free_port
from reconciler.recover.coordinator import Coordinator
from store import reigns
from store.pool import connect
from tests.checks import make_booking_id, rows_of, snapshot
from tests.conftest import TIMEOUT_MS
from tests.reconciler.conftest import DETAIL, BoxOffice, Shown
from usecases.wiring import reign_reader

BACKLOG_MAX = 100_000


@contextlib.asynccontextmanager
async def coordinating(
    shard: int, redis: Any, url: str, **options: Any
) -> AsyncIterator[Coordinator]:
    """Yield a coordinator with a connection of its own."""
    connection = await connect(url, timeout_ms=TIMEOUT_MS)
    try:
        yield Coordinator(
            shard,
            redis,
            connection,
            backlog_records_max=BACKLOG_MAX,
            database_url=url,
            database_timeout_ms=TIMEOUT_MS,
            **options,
        )
    finally:
        connection.terminate()  # As a coordinator that dies does: whatever was under way is left.


async def recover(office: BoxOffice, **options: Any) -> Coordinator:
    """Recover the office's shard once; return the coordinator, which knows what it did."""
    forced = options.pop("is_rebuild_forced", False)
    async with coordinating(office.shard, office.redis, office.database_url, **options) as one:
        assert await one.recover(is_rebuild_forced=forced) is not None
        assert one.recovered is not None
        return one


@contextlib.asynccontextmanager
async def engine_of(
    office_redis_url: str, pool: asyncpg.Pool, shard: int, **options: Any
) -> AsyncIterator[Engine]:
    """Yield an engine as the API has it: its doors open by PostgreSQL's row alone."""
    read = reign_reader(pool)

    async def read_own(number: int) -> Any:
        if number != shard:
            await asyncio.Event().wait()  # The other shards belong to other tests.
        return await read(number)

    client = connect_redis(office_redis_url, timeout_ms=TIMEOUT_MS)
    engine = Engine({"0": client}, read_own, shards=[shard], **options)
    engine.start()
    try:
        yield engine
    finally:
        await engine.stop(timeout_s=5)


async def wait_open(engine: Engine, shard: int, *, epoch: int = 0) -> None:
    """Wait until the engine's door is open under that epoch or a later one."""
    while True:
        with contextlib.suppress(ShardRecovering):
            if engine.reign(shard).epoch >= epoch:
                return
            # Nobody here watches the shards: a door that is not knocked at shows the last reign.
            await engine.availability(shard, new_id("evt"))
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def opened(
    shard: int, valkey: ValkeyServer, postgres: PostgresServer, pool: asyncpg.Pool
) -> AsyncIterator[BoxOffice]:
    """Yield an office on a Valkey of its own."""
    redis = connect_redis(valkey.url, timeout_ms=TIMEOUT_MS)
    async with coordinating(shard, redis, postgres.url) as one:
        assert 1 == await one.recover()
    async with engine_of(valkey.url, pool, shard) as engine:
        await wait_open(engine, shard)
        yield BoxOffice(
            shard=shard,
            redis=redis,
            database=pool,
            engine=engine,
            redis_url=valkey.url,
            database_url=postgres.url,
        )
    await redis.aclose()


async def wipe(office: BoxOffice) -> None:
    """Lose all that Redis has of the shard, and nothing of other tests."""
    names: Any = await office.redis.keys(f"{keys.tag(office.shard)}:*".replace("{", "\\{"))
    for name in names:
        await office.redis.delete(name)


async def content(office: BoxOffice) -> dict[str, Any]:
    """
    Return what Redis has of the shard's events, as far as a rebuild must bring it back.

    Left out: the door and the journals, the seat maps' versions, counts of zero, and when the
    sweeper comes next.
    """
    found: dict[str, Any] = {}
    for key, (_, raw) in (await snapshot(office.redis, office.shard)).items():
        name = key.decode().rpartition(":")[2]
        if name in {"meta", "due"} or name.isdigit():
            continue
        value = raw
        if name == "persons":
            value = {user: count for user, count in raw.items() if count != b"0"}
        elif name == "seats":
            value = {
                field: text
                for field, text in raw.items()
                if field != b"version" and not field.startswith(b"log.")
            }
        elif name == "holds":
            value = {field: _hold(row) for field, row in raw.items()}
        elif name == "ended":
            value = set(raw[::2])
        if value:
            found[key.decode()] = value
    return found


def _hold(row: bytes) -> tuple[Any, ...]:
    *words, detail = row.split(b" ", 11)
    return (*words, json.loads(detail))


@contextlib.contextmanager
def start_own(server_dir: Path) -> Iterator[ValkeyServer]:
    """Run a Valkey for one test; it also listens on a port, for a replica."""
    server = ValkeyServer(Path(tempfile.mkdtemp(dir=server_dir)), port=free_port())
    server.start()
    yield server
    server.stop()


async def sell(office: BoxOffice, event: Shown, count: int) -> dict[str, Booked]:
    """Book, one after another; return what was acknowledged."""
    acked: dict[str, Booked] = {}
    for _ in range(count):
        user = new_id("usr")
        own = make_booking_id(event.event_id, user, "k")
        order = Order(event.event_id, own, user, "print", DETAIL, ((1, 1), (2, 2)))
        outcome = await office.engine.book(office.shard, order)
        assert isinstance(outcome, Booked)
        acked[own] = outcome
    return acked


async def bookings(office: BoxOffice, event: Shown) -> dict[str, tuple[int, int]]:
    """Return the places in the journal of all bookings that Redis has."""
    rows = await rows_of(office.redis, keys.event(office.shard, event.event_id).bookings)
    return {key.decode(): (int(row.split()[2]), int(row.split()[3])) for key, row in rows.items()}


def log_of(server: ValkeyServer) -> Path:
    """Return the log of a stopped server that is written last."""
    return max(server.directory.glob("appendonlydir/*.incr.aof"))


async def until_equal(office: BoxOffice, copy: Redis) -> None:
    """Wait until a replica has all that its primary has of the shard."""
    while True:
        if await snapshot(copy, office.shard) == await snapshot(office.redis, office.shard):
            return
        await asyncio.sleep(0.02)


async def restart(office: BoxOffice, server: ValkeyServer) -> None:
    """Start a killed Redis, and forget connections to the dead one."""
    server.start()
    await office.redis.connection_pool.disconnect()


async def assert_shut_then_open(office: BoxOffice, event: Shown) -> None:
    """I17: nothing is sold before the recovery, and everything after it."""
    with pytest.raises(ShardRecovering):
        await sell(office, event, 1)
    await recover(office)
    row = await reigns.read(office.database, office.shard)
    assert row is not None
    await wait_open(office.engine, office.shard, epoch=row.epoch)
    await sell(office, event, 1)

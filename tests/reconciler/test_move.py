"""
Homes of shards: one server each, changed under a claim that fenced the old one (I20, I21).

Two real Valkeys, a real PostgreSQL, the coordinator's own code, and an engine that follows what is
published.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.exceptions import RedisError

from engine.commands import OfEvent, TierStock
from engine.engine import Engine
from engine.errors import EngineError, ShardRecovering
from engine.ids import new_id
from engine.outcomes import Booked, Refused
from engine.redis_client import connect
from engine.watcher import WATCH_INTERVAL_S
from evently.embedded import PostgresServer, ValkeyServer
from evently.settings import Settings
from evently.shards import add, listed
from persister.persister import Options, Persister
from reconciler.judge.check import check
from reconciler.recover import keeper
from reconciler.recover.coordinator import coordinator_of
from reconciler.recover.decide import CannotOpen
from reconciler.recover.move import move
from reconciler.servers import NoServer, Servers
from store import reigns
from store.pool import create_pool
from tests.checks import ask, eventually, servers_of
from tests.conftest import TIMEOUT_MS
from tests.engine.conftest import order
from tests.reconciler.conftest import BoxOffice
from tests.store.databases import migrated_database
from usecases.wiring import reign_reader, seen_reporter, shards_reader

SHARD = 0
CAPACITY = 300
SHORT_TIMEOUT_MS = 500


@pytest.fixture
def valkeys(server_dir: Path) -> Iterator[dict[str, ValkeyServer]]:
    """Start two servers."""
    found = {name: ValkeyServer(Path(tempfile.mkdtemp(dir=server_dir))) for name in ("a", "b")}
    for server in found.values():
        server.start()
    yield found
    for server in found.values():
        server.stop()


@pytest.fixture
async def own_url(postgres: PostgresServer) -> str:
    """Make a database of the test's own, since it says which shards there are."""
    return await asyncio.to_thread(migrated_database, postgres.url)


@pytest.fixture
async def pool(own_url: str) -> AsyncIterator[asyncpg.Pool]:
    """Connect to it."""
    pool = await create_pool(own_url, connections_max=4, timeout_ms=TIMEOUT_MS)
    yield pool
    await pool.close()


@pytest.fixture
def servers(valkeys: dict[str, ValkeyServer], own_url: str) -> Servers:
    """Return what commands know: both servers."""
    return dataclasses.replace(
        servers_of("", own_url),
        redis_servers={name: server.url for name, server in valkeys.items()},
        redis_timeout_ms=SHORT_TIMEOUT_MS,
    )


@contextlib.asynccontextmanager
async def worker(servers: Servers, pool: asyncpg.Pool, *names: str) -> AsyncIterator[Engine]:
    """Yield an engine as a process has it that knows the servers *names*."""
    engine = Engine(
        {name: connect(servers.redis_servers[name], timeout_ms=TIMEOUT_MS) for name in names},
        reign_reader(pool),
        read_shards=shards_reader(pool),
        report_seen=seen_reporter(pool),
    )
    engine.start()
    try:
        yield engine
    finally:
        await engine.stop(timeout_s=5)


async def opened(engine: Engine, home: str, *, shard: int = SHARD) -> int:
    """Wait until the shard is open at *home*; return the epoch."""
    while True:
        with contextlib.suppress(ShardRecovering):
            reign = engine.reign(shard)
            if reign.home == home:
                return reign.epoch
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def persisting(servers: Servers) -> AsyncIterator[None]:
    """Run a persister for the block."""
    clients = {
        name: connect(url, timeout_ms=None, connections_max=2)
        for name, url in servers.redis_servers.items()
    }
    options = Options(shard=SHARD, records_max=100, retention_s=600, database_timeout_ms=TIMEOUT_MS)
    task = asyncio.create_task(Persister(clients, servers.database_url, options).run())
    yield
    task.cancel()  # Not by `stop`, which is heard only at the end of a blocking read.
    with contextlib.suppress(asyncio.CancelledError):
        await task
    for client in clients.values():
        await client.aclose()


async def open_first(servers: Servers) -> None:
    """Begin with one shard, which lives on the first server."""
    assert 0 == await keeper.run(servers, watch=False)


async def put_on_sale(engine: Engine, pool: asyncpg.Pool) -> str:
    """Publish an event."""
    nowhere: Any = None
    office = BoxOffice(
        shard=SHARD, redis=nowhere, database=pool, engine=engine, redis_url="", database_url=""
    )
    tiers = (TierStock(CAPACITY, 100, 10),)
    return (await office.add_event(tiers=tiers)).event_id


async def sell_out(engine: Engine, event: str, told: list[str]) -> None:
    """Buy until it is sold out; whatever is not answered is asked again under its own id."""
    while True:
        one = order(event, new_id("usr"))
        while True:
            try:
                outcome = await engine.book(SHARD, one)
            except EngineError:
                await asyncio.sleep(0.01)
                continue
            break
        if isinstance(outcome, Refused):
            return
        assert isinstance(outcome, Booked)
        told.append(one.id)


async def judge(servers: Servers, pool: asyncpg.Pool, told: list[str]) -> None:
    """See that all that was told is there, once, and that both stores agree."""
    assert CAPACITY == len(told) == len(set(told))
    assert 0 == await pool.fetchval("SELECT count(*) FROM conflicts")
    result = await check(servers)
    assert ([], []) == (result.errors, result.violations)


async def test_f47_move_under_sale(servers: Servers, pool: asyncpg.Pool) -> None:
    """F47: a shard moves while it sells: what was told stays, and nothing is sold twice."""
    await open_first(servers)
    told: list[str] = []
    async with worker(servers, pool, "a", "b") as engine:
        assert 1 == await opened(engine, "a")
        event = await put_on_sale(engine, pool)
        async with asyncio.TaskGroup() as sellers:
            for _ in range(8):
                sellers.create_task(sell_out(engine, event, told))
            while len(told) < CAPACITY // 4:  # noqa: ASYNC110
                await asyncio.sleep(0)
            await move(servers, SHARD, "b", said_gone="", tell=lambda _: None)
        await opened(engine, "b")
    await judge(servers, pool, told)


async def test_f47_persister_moves_along(servers: Servers, pool: asyncpg.Pool) -> None:
    """F47: an old home is left as it was, and quiet: the persister does not stay there."""
    await open_first(servers)
    async with worker(servers, pool, "a", "b") as engine, persisting(servers):
        await opened(engine, "a")
        event = await put_on_sale(engine, pool)
        await move(servers, SHARD, "b", said_gone="", tell=lambda _: None)
        epoch = await opened(engine, "b")
        booked = await engine.book(SHARD, order(event, new_id("usr")))
        assert isinstance(booked, Booked)
        async with asyncio.timeout(TIMEOUT_MS / 1000):
            while await reigns.horizon(pool, SHARD, epoch) != (booked.seq, True):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_f47_there_and_back(servers: Servers, pool: asyncpg.Pool) -> None:
    """F47: at a home of earlier days a shard is loaded anew, whatever is left there of it."""
    await open_first(servers)
    told: list[str] = []
    async with worker(servers, pool, "a", "b") as engine:
        await opened(engine, "a")
        event = await put_on_sale(engine, pool)
        for home in ("b", "a"):
            booked = await engine.book(SHARD, one := order(event, new_id("usr")))
            assert isinstance(booked, Booked)
            told.append(one.id)
            await move(servers, SHARD, home, said_gone="", tell=lambda _: None)
            await opened(engine, home)
        await sell_out(engine, event, told)
    await judge(servers, pool, told)


async def test_f47_silent_home_keeps_its_shard(
    servers: Servers, pool: asyncpg.Pool, valkeys: dict[str, ValkeyServer]
) -> None:
    """F47: a home that does not answer cannot be fenced: nothing moves, and nothing is shut."""
    await open_first(servers)
    valkeys["a"].stop()
    before = await pool.fetchrow("SELECT epoch, state, home FROM shard_epoch")
    with pytest.raises((RedisError, OSError)):
        await move(servers, SHARD, "b", said_gone="", tell=lambda _: None)
    assert before == await pool.fetchrow("SELECT epoch, state, home FROM shard_epoch")


async def test_f47_gone_by_a_humans_word(
    servers: Servers, pool: asyncpg.Pool, valkeys: dict[str, ValkeyServer]
) -> None:
    """F47: declared gone, a home is left without its fence; workers still stop to sell there."""
    await open_first(servers)
    told: list[str] = []
    async with worker(servers, pool, "a", "b") as engine, worker(servers, pool, "a") as late:
        await opened(engine, "a")
        await opened(late, "a")
        event = await put_on_sale(engine, pool)
        with pytest.raises(CannotOpen, match="server a answers, so it is not gone"):
            await move(servers, SHARD, "b", said_gone="burnt", tell=lambda _: None)
        await sell_some(engine, event, told, count=20)
        async with persisting(servers):
            while 20 > await pool.fetchval("SELECT count(*) FROM bookings"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        valkeys["a"].kill()
        await move(servers, SHARD, "b", said_gone="burnt", tell=lambda _: None)
        valkeys["a"].start()
        await asyncio.sleep(2 * WATCH_INTERVAL_S)
        with pytest.raises(ShardRecovering):
            await late.book(SHARD, order(event, new_id("usr")))
        await opened(engine, "b")
        await sell_out(engine, event, told)
    await judge(servers, pool, told)
    assert [("a", "b", "burnt")] == [
        tuple(row) for row in await pool.fetch("SELECT from_home, to_home, said_gone FROM moves")
    ]


async def sell_some(engine: Engine, event: str, told: list[str], *, count: int) -> None:
    """Buy *count* times."""
    for _ in range(count):
        one = order(event, new_id("usr"))
        assert isinstance(await engine.book(SHARD, one), Booked)
        told.append(one.id)


@pytest.mark.parametrize("step", ["_fence", "_gather", "_evidence", "move_home", "after"])
async def test_f47_move_crashes(
    servers: Servers, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """F47: a move that dies at any step leaves the shard at one home, where it opens again."""
    await open_first(servers)
    told: list[str] = []
    async with worker(servers, pool, "a", "b") as engine:
        await opened(engine, "a")
        event = await put_on_sale(engine, pool)
        await sell_some(engine, event, told, count=3)

        async def die(*_: object, **__: object) -> None:
            raise OSError("killed")

        async with servers.database() as database, servers.server("a") as source:
            coordinator = coordinator_of(servers, SHARD, source, database, home="a")
            owner, name = {"move_home": (reigns, step), "after": (reigns, "release")}.get(
                step, (coordinator, step)
            )
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, die)
                with pytest.raises(OSError, match="killed"):
                    await coordinator.leave("b")
            await reigns.release(database, SHARD, epoch=2, holder=coordinator._holder)
        assert 0 == await keeper.run(servers, watch=False)
        await opened(engine, "b" if step == "after" else "a")
        await sell_out(engine, event, told)
    await judge(servers, pool, told)


async def test_f46_server_that_is_not_known(servers: Servers, pool: asyncpg.Pool) -> None:
    """F46: a process without the home's name keeps the door shut; no command guesses another."""
    await open_first(servers)
    one = dataclasses.replace(servers, redis_servers={"b": servers.redis_servers["b"]})
    async with worker(servers, pool, "b") as engine:
        await asyncio.sleep(WATCH_INTERVAL_S / 2)
        with pytest.raises(ShardRecovering):
            await engine.book(SHARD, order(new_id("evt"), new_id("usr")))
    before = await pool.fetchrow("SELECT * FROM shard_epoch")
    assert 2 == await keeper.run(one, watch=False)
    assert before == await pool.fetchrow("SELECT * FROM shard_epoch")
    with pytest.raises(NoServer):
        await move(servers, SHARD, "c", said_gone="", tell=lambda _: None)
    result = await check(one)
    assert ["shard 0: EVENTLY_REDIS_URL names no server a"] == result.errors
    async with servers.server("b") as client:
        assert 0 == await ask(client, "DBSIZE")


async def test_f46_claim_names_the_home(servers: Servers, pool: asyncpg.Pool) -> None:
    """F46: a coordinator at the wrong server claims nothing, whatever it believes."""
    await open_first(servers)
    async with servers.database() as database, servers.server("b") as client:
        wrong = coordinator_of(servers, SHARD, client, database, home="b")
        with pytest.raises(CannotOpen, match="shard 0 lives on a now"):
            await wrong.is_well()
        assert await wrong.recover() is None
        assert 0 == await ask(client, "DBSIZE")
    assert 1 == await pool.fetchval("SELECT epoch FROM shard_epoch")


async def test_f46_watcher_shuts_what_nobody_fenced(servers: Servers, pool: asyncpg.Pool) -> None:
    """F46: a door shuts within a second or two though its Redis refuses nothing."""
    await open_first(servers)
    async with worker(servers, pool, "a", "b") as engine:
        await opened(engine, "a")
        event = await put_on_sale(engine, pool)
        assert await engine.close(SHARD, event)
        await pool.execute("UPDATE shard_epoch SET epoch = epoch + 1, state = 'recovering'")
        assert await eventually(lambda: not engine.shards[SHARD].door.is_open)
        with pytest.raises(ShardRecovering):
            await engine.reopen(SHARD, OfEvent(event))  # type: ignore[arg-type]


async def test_f46_the_table_says_which_shards_there_are(
    servers: Servers, pool: asyncpg.Pool
) -> None:
    """F46: a process takes up shards that are added, and forgets none for a setting."""
    await open_first(servers)
    settings = Settings(
        database_url=servers.database_url,
        redis_url=",".join(f"{name}={url}" for name, url in servers.redis_servers.items()),
        shards=1,
    )
    async with worker(servers, pool, "a", "b") as engine:
        await opened(engine, "a")
        assert [1] == await add(settings, 1, home="", is_reserved=False)
        assert [2] == await add(settings, 1, home="a", is_reserved=True)
        assert 0 == await keeper.run(servers, watch=False)
        await opened(engine, "b", shard=1)
        await opened(engine, "a", shard=2)
        assert [0, 1] == engine.shards_for_events
    rows = [(one.shard, one.home, one.state, one.is_reserved) for one in await listed(settings)]
    assert [(0, "a", "open", False), (1, "b", "open", False), (2, "a", "open", True)] == rows


async def test_f46_shards_of_older_code_get_their_homes(
    servers: Servers, pool: asyncpg.Pool
) -> None:
    """F46: what was opened before homes had names stays where the old rule put it."""
    await pool.execute(
        "INSERT INTO shard_epoch (shard, epoch, state, holder, lease_until, nonce) "
        "SELECT n, 1, 'recovering', '', now(), '' FROM generate_series(0, 3) AS n"
    )
    names: list[str] = ["a", "b"]
    homes = [await reigns.home_of(pool, shard, names) for shard in range(4)]
    assert ["a", "b", "a", "b"] == homes
    assert homes == [await reigns.home_of(pool, shard, names[::-1]) for shard in range(4)]


def test_nobody_computes_a_home() -> None:
    """A shard's home is looked up: what computes one from a list stands once, for older data."""
    root = Path(__file__).parents[2]
    folders = (
        "api",
        "engine",
        "evently",
        "loadtests",
        "persister",
        "reconciler",
        "store",
        "usecases",
    )
    paths = [path for folder in folders for path in (root / folder).rglob("*.py")]
    found = [path.name for path in paths if re.search(r"shard % len\(", path.read_text())]
    assert ["reigns.py"] == found

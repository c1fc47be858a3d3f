"""
The fence as a whole: real servers, the real coordinator, and an engine that must not be fooled.

Whatever happens to Redis, a worker sells nothing until PostgreSQL has published a higher epoch; or,
where the cause only hinders, until it has passed (I17).
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import structlog.testing
from redis.asyncio import Redis

from engine import acl, scripts
from engine.commands import Publish, TierStock
from engine.door import Reign
from engine.engine import Engine
from engine.errors import EngineError, OutcomeUnknown, ShardRecovering, ShardUnavailable
from engine.ids import new_id
from engine.outcomes import Applied, Booked
from engine.redis_client import connect
from evently.embedded import PostgresServer, ValkeyServer
from evently.ports import free_port
from reconciler.recover import coordinator as recovery
from reconciler.recover import keeper
from reconciler.recover.coordinator import Coordinator
from reconciler.recover.decide import CannotOpen
from store import reigns
from store.pool import connect as connect_database
from tests.checks import FAR_MS, ask, servers_of, snapshot
from tests.conftest import TIMEOUT_MS
from tests.engine.conftest import Proxy, order
from usecases.wiring import reign_reader, seen_reporter

BACKLOG_MAX = 100_000
SHORT_TIMEOUT_MS = 200
PASSWORDS = {role: f"password-of-{role}" for role in acl.ROLES}

StartValkey = Callable[..., ValkeyServer]


@pytest.fixture
def start_valkey(server_dir: Path) -> Iterator[StartValkey]:
    """Start Valkeys of the test's own."""
    servers: list[ValkeyServer] = []

    def start(
        settings: Mapping[str, str] | None = None,
        *,
        port: int = 0,
        passwords: Mapping[str, str] | None = None,
    ) -> ValkeyServer:
        server = ValkeyServer(
            Path(tempfile.mkdtemp(dir=server_dir)),
            settings={"repl-diskless-sync-delay": "0"} | dict(settings or {}),
            port=port,
            passwords=passwords,
        )
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


@dataclass(kw_only=True)
class House:
    """One shard: its coordinator, and an engine that follows what PostgreSQL publishes."""

    shard: int
    event: str
    redis: Redis
    pool: asyncpg.Pool
    coordinator: Coordinator
    engine: Engine

    async def book(self, user: str) -> Booked:
        """Book one place; the event has plenty."""
        booked = await self.engine.book(self.shard, order(self.event, user))
        assert isinstance(booked, Booked)
        return booked

    async def opened(self) -> Reign:
        """Wait until the engine's door is open."""
        door = self.engine.shards[self.shard].door
        while not door.is_open:  # noqa: ASYNC110  A door tells nobody that it opened.
            await asyncio.sleep(0.01)
        return door.reign()

    async def row(self) -> reigns.ReignRow:
        """Return what PostgreSQL says of the shard."""
        row = await reigns.read(self.pool, self.shard)
        assert row is not None
        return row


Furnish = Callable[..., contextlib.AbstractAsyncContextManager[House]]


@pytest.fixture
def furnish(postgres: PostgresServer, database: asyncpg.Pool, shard: int) -> Furnish:
    """Return what opens a shard on a Valkey, with an engine that has published an event."""

    @contextlib.asynccontextmanager
    async def furnish(
        server: ValkeyServer, *, url: str = "", timeout_ms: int = TIMEOUT_MS
    ) -> AsyncIterator[House]:
        redis = connect(as_role(server, "coordinator"), timeout_ms=TIMEOUT_MS)
        connection = await connect_database(postgres.url, timeout_ms=TIMEOUT_MS)
        coordinator = Coordinator(shard, redis, connection, backlog_records_max=BACKLOG_MAX)
        assert 1 == await coordinator.recover()
        read = reign_reader(database)

        async def read_own(number: int) -> Reign | None:
            return await read(number) if number == shard else None

        engine = Engine(
            {"0": connect(url or as_role(server, "api"), timeout_ms=timeout_ms)},
            read_own,
            shards=[shard],
            report_seen=seen_reporter(database),
        )
        house = House(
            shard=shard,
            event=new_id("evt"),
            redis=redis,
            pool=database,
            coordinator=coordinator,
            engine=engine,
        )
        engine.start()
        try:
            await house.opened()
            command = Publish(house.event, "p", 0, FAR_MS, 1_000, (TierStock(1_000_000, 100, 10),))
            assert isinstance(await engine.publish(shard, command), Applied)
            yield house
        finally:
            await engine.stop(timeout_s=5)
            await connection.close()
            await redis.aclose()

    return furnish


def as_role(server: ValkeyServer, role: str) -> str:
    """Return the URL with the role logged in, if the server has users."""
    if "aclfile" not in (server.directory / "valkey.conf").read_text():
        return server.url
    scheme, _, path = server.url.partition("://")
    return f"{scheme}://{role}:{PASSWORDS[role]}@{path}"


async def linked(redis: Redis) -> None:
    """Wait until a replica has all that its master has."""
    while (await redis.info("replication")).get("master_link_status") != "up":  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def test_f12_flip_flop(start_valkey: StartValkey, furnish: Furnish) -> None:
    """F12: demoted to a stale replica and promoted again, the same process sells nothing."""
    ports = free_port(), free_port()
    master, replica = (start_valkey(port=port) for port in ports)
    other = connect(replica.url, timeout_ms=TIMEOUT_MS)
    await ask(other, "REPLICAOF", "127.0.0.1", ports[0])
    await linked(other)
    async with furnish(master) as house:
        await ask(house.redis, "WAIT", 1, TIMEOUT_MS)
        await ask(other, "REPLICAOF", "NO", "ONE")
        run_id = (await house.redis.info("server"))["run_id"]
        await house.book("usr_a")
        await ask(house.redis, "REPLICAOF", "127.0.0.1", ports[1])
        await linked(house.redis)
        await ask(house.redis, "REPLICAOF", "NO", "ONE")
        before = await snapshot(house.redis, house.shard)
        # A worker that has seen nothing yet, and comes with new connections.
        fresh = Engine(
            {"0": connect(master.url, timeout_ms=TIMEOUT_MS)},
            reign_reader(house.pool),
            shards=[house.shard],
        )
        fresh.start()
        while not fresh.shards[house.shard].door.is_open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

        for engine in (house.engine, fresh):
            with pytest.raises(ShardRecovering):
                await engine.book(house.shard, order(house.event, "usr_b"))

        assert run_id == (await house.redis.info("server"))["run_id"]
        assert before == await snapshot(house.redis, house.shard)
        assert not await house.coordinator.is_well()
        await fresh.stop(timeout_s=5)
    await other.aclose()


async def test_f10_stale_replica_with_the_same_scripts(
    start_valkey: StartValkey, furnish: Furnish, server_dir: Path
) -> None:
    """F10: even with all scripts loaded and no id known, fewer records than seen give it away."""
    port = free_port()
    master, replica = start_valkey(port=port), start_valkey()
    proxy = Proxy(master.socket_path, server_dir / f"{port}.sock")
    await proxy.start()
    other = connect(replica.url, timeout_ms=TIMEOUT_MS)
    async with furnish(master, url=proxy.url) as house:
        await ask(other, "REPLICAOF", "127.0.0.1", port)
        await linked(other)
        await ask(other, "REPLICAOF", "NO", "ONE")
        row = await house.row()
        for name in scripts.NAMES:
            await ask(other, "SCRIPT LOAD", scripts.render(name, row.nonce))
        await house.pool.execute(
            "UPDATE shard_epoch SET redis_run_id = '', redis_replid = '' WHERE shard = $1",
            house.shard,
        )
        house.engine.shards[house.shard].door.shut(
            house.engine.reign(house.shard), "test", probe=_at_once
        )
        await house.opened()
        lost = await house.book("usr_a")
        proxy.target = replica.socket_path
        proxy.reset()
        before = await snapshot(other, house.shard)

        with pytest.raises((OutcomeUnknown, ShardRecovering)):  # A connection that was cut, or not.
            await house.engine.book(house.shard, order(house.event, "usr_b"))
        with pytest.raises(ShardRecovering):
            await house.engine.book(house.shard, order(house.event, "usr_b"))

        assert before == await snapshot(other, house.shard)
        while (doubted := await house.row()).state == "open":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert (lost.seq, "recovering") == (doubted.seen_seq, doubted.state)
        assert f"record {lost.seq} acknowledged" in doubted.reason
    await proxy.stop()
    await other.aclose()


async def _at_once(_: Reign) -> bool:
    return True


async def test_f10_another_server_is_refused_before_a_command(
    start_valkey: StartValkey, furnish: Furnish, server_dir: Path
) -> None:
    """F10: a new connection that leads to another process shuts the door before it carries any."""
    master, impostor = start_valkey(), start_valkey()
    proxy = Proxy(master.socket_path, server_dir / "impostor.sock")
    await proxy.start()
    async with furnish(master, url=proxy.url) as house:
        proxy.target = impostor.socket_path
        proxy.reset()
        with pytest.raises((OutcomeUnknown, ShardRecovering)):  # A connection that was cut, or not.
            await house.engine.book(house.shard, order(house.event, "usr_b"))
        calls = proxy.calls
        with pytest.raises(ShardRecovering):
            await house.engine.book(house.shard, order(house.event, "usr_b"))
        assert calls == proxy.calls
        assert not house.engine.shards[house.shard].door.is_open
    await proxy.stop()


async def test_f5_lost_records_are_not_opened_over(
    start_valkey: StartValkey, furnish: Furnish
) -> None:
    """F5: what one worker alone saw shuts the shard for all; recovery keeps no such state."""
    async with furnish(start_valkey()) as house:
        await _announce(house)
        await reigns.note_seen(house.pool, house.shard, epoch=1, seen_seq=57, has_lost=True)
        assert not await house.coordinator.is_well()
        assert "recovering" == (await house.row()).state
        with structlog.testing.capture_logs() as logs:
            assert 2 == await house.coordinator.recover()
        [path] = [entry for entry in logs if entry.get("action") == "recover_path"]
        assert "rebuild" == path["path"]
        assert "a worker saw record 57 of epoch 1" in path["reason"]
        assert 0 == (await house.row()).seen_seq


async def test_f5_checkpoint_ahead_of_redis_is_not_well(
    start_valkey: StartValkey, furnish: Furnish
) -> None:
    """F5: an open shard is not well when PostgreSQL has records that Redis has not."""
    async with furnish(start_valkey()) as house:
        assert await house.coordinator.is_well()
        await house.pool.execute(
            "UPDATE shard_checkpoint SET last_seq = 9 WHERE shard = $1 AND epoch = 1", house.shard
        )
        await house.pool.execute(
            "INSERT INTO journal VALUES ($1, 1, 1, 9, now(), 'whatever they say')", house.shard
        )
        assert not await house.coordinator.is_well()


@pytest.mark.parametrize("fault", ["FLUSHALL", "SCRIPT FLUSH"])
async def test_f13_f15_live(start_valkey: StartValkey, furnish: Furnish, fault: str) -> None:
    """F13, F15: wiped or without its scripts under a running worker, Redis sells nothing."""
    async with furnish(start_valkey()) as house:
        await _announce(house)
        first = await house.book("usr_a")
        await ask(house.redis, *fault.split())
        with pytest.raises(ShardRecovering):
            await house.book("usr_b")
        while not (row := await house.row()).seen_seq:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert (first.seq, "open") == (row.seen_seq, row.state)
        assert not await house.coordinator.is_well()
        assert not house.engine.is_open
        if fault == "SCRIPT FLUSH":
            assert 2 == await house.coordinator.recover()
            assert 2 == (await house.opened()).epoch
            again = await house.book("usr_a")
            assert (first.epoch, first.seq, True) == (again.epoch, again.seq, again.is_replay)


async def _announce(house: House) -> None:
    """Write the event to PostgreSQL, so that its records can be drained."""
    organizer = new_id("org")
    await house.pool.execute("INSERT INTO organizers (id, name) VALUES ($1, 'Hall')", organizer)
    await house.pool.execute(
        "INSERT INTO events (id, organizer_id, shard, name, timezone, currency, starts_at, ends_at,"
        " sale_opens_at, sale_closes_at, person_max)"
        " VALUES ($1, $3, $2, 'Show', 'UTC', 'EUR', now(), now(), now(),"
        " to_timestamp(9000000000), 1000)",
        house.event,
        house.shard,
        organizer,
    )
    await house.pool.execute(
        "INSERT INTO tiers VALUES ($1, 1, $2, 'Floor', 100, 1000000, 10, 0, 0)",
        house.event,
        new_id("tier"),
    )


BAD_SETTINGS = [
    pytest.param("maxmemory-policy", "allkeys-lru", id="f17"),
    pytest.param("appendfsync", "everysec", id="f18"),
    pytest.param("no-appendfsync-on-rewrite", "yes", id="f20"),
    pytest.param("maxmemory", "0", id="f16"),
    pytest.param("propagation-error-behavior", "ignore", id="f7"),
    pytest.param("appendonly", "no", id="f6"),
]


@pytest.mark.parametrize(("setting", "value"), BAD_SETTINGS)
async def test_f16_f17_f18_f20_cfg_guard_coordinator(
    start_valkey: StartValkey, postgres: PostgresServer, shard: int, setting: str, value: str
) -> None:
    """F16 to F20: `recover` on a server started like this ends with 2, and opens nothing."""
    server = start_valkey({setting: value})
    code = await keeper.run(servers_of(server.url, postgres.url), only=shard, watch=False)
    assert 2 == code
    redis = connect(server.url, timeout_ms=TIMEOUT_MS)
    assert 0 == await ask(redis, "DBSIZE")
    await redis.aclose()


@pytest.mark.parametrize(("setting", "value"), BAD_SETTINGS)
async def test_f16_f17_f18_f20_cfg_guard_worker(
    start_valkey: StartValkey, database: asyncpg.Pool, shard: int, setting: str, value: str
) -> None:
    """F16 to F20: a worker sends no command to a server started like this, and says why."""
    server = start_valkey({setting: value})

    async def read(_: int) -> Reign | None:
        return Reign(shard=shard, epoch=1, script_shas=scripts.shas("n"))

    engine = Engine({"0": connect(server.url, timeout_ms=TIMEOUT_MS)}, read, shards=[shard])
    engine.start()
    while not engine.shards[shard].door.is_open:  # noqa: ASYNC110
        await asyncio.sleep(0)
    with pytest.raises(ShardUnavailable, match=f"{setting} is '{value}', must be .*set `{setting}"):
        await engine.book(shard, order(new_id("evt"), "usr"))
    assert not engine.shards[shard].door.is_open
    await engine.stop(timeout_s=5)


async def test_f17_setting_changed_under_a_running_shard(
    start_valkey: StartValkey, furnish: Furnish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F17: made unsafe while it is open, the shard is shut, and opens anew when it is mended."""
    monkeypatch.setattr(recovery, "GUARD_INTERVAL_S", 0)
    async with furnish(start_valkey()) as house:
        await _announce(house)
        assert await house.coordinator.is_well()
        await ask(house.redis, "CONFIG SET", "maxmemory-policy", "allkeys-lru")
        with pytest.raises(CannotOpen, match="maxmemory-policy is 'allkeys-lru'"):
            await house.coordinator.is_well()
        with pytest.raises(ShardRecovering):
            await house.book("usr_a")
        await ask(house.redis, "CONFIG SET", "maxmemory-policy", "noeviction")
        assert not await house.coordinator.is_well()
        assert 2 == await house.coordinator.recover()
        assert 2 == (await house.opened()).epoch
        await house.book("usr_a")


async def test_f23_acl_drift(start_valkey: StartValkey, furnish: Furnish) -> None:
    """F23: without the right to XADD nothing is sold and nothing changes; it is named and heals."""
    async with furnish(start_valkey(passwords=PASSWORDS)) as house:
        await _announce(house)
        await house.book("usr_a")
        before = await snapshot(house.redis, house.shard)
        await ask(house.redis, "ACL SETUSER", "api", "-xadd")
        with pytest.raises(ShardRecovering):
            await house.book("usr_b")
        assert not house.engine.is_open
        assert before == await snapshot(house.redis, house.shard)
        with pytest.raises(CannotOpen, match=r"user api is .*without xadd"):
            await house.coordinator.recover()
        await ask(house.redis, "ACL LOAD")
        assert 2 == await house.coordinator.recover()
        await house.opened()
        await house.book("usr_b")


async def test_f42_black_hole(
    start_valkey: StartValkey, furnish: Furnish, server_dir: Path
) -> None:
    """F42: a peer that takes all and answers nothing makes errors, not waiters; it comes back."""
    master = start_valkey()
    proxy = Proxy(master.socket_path, server_dir / "hole.sock")
    await proxy.start()
    async with furnish(master, url=proxy.url, timeout_ms=SHORT_TIMEOUT_MS) as house:
        await proxy.stop()
        proxy.path.unlink(missing_ok=True)
        held: list[asyncio.StreamWriter] = []

        async def swallow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            held.append(writer)

        hole = await asyncio.start_unix_server(swallow, str(proxy.path))
        seen: list[type[EngineError]] = []
        while ShardRecovering not in seen:
            try:
                await house.book("usr_a")
            except EngineError as error:
                seen.append(type(error))
        # No connection was greeted, so nothing was sent: that is known.
        assert {ShardUnavailable, ShardRecovering} == {*seen}
        for writer in held:
            writer.close()
        hole.close()
        proxy.path.unlink(missing_ok=True)
        await proxy.start()
        assert 1 == (await house.opened()).epoch
        await house.book("usr_a")
    await proxy.stop()

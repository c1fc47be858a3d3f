"""The group waiter: replicas vouch for what they have, and never for anything else."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from redis.asyncio import Redis

from engine import keys
from engine.door import Reign
from engine.engine import Engine
from engine.errors import ShardRecovering
from engine.outcomes import Booked
from engine.redis_client import connect
from engine.replicas import GroupWaiter, Standing
from evently.embedded import ValkeyServer
from evently.ports import free_port
from loadtests.chaos.proxy import Proxy, Trouble
from tests.checks import ask, users
from tests.conftest import TIMEOUT_MS, open_door, start_engine
from tests.engine.conftest import order, publish

SHARD = 0
SHORT_MS = 300


#: The way from replica to primary swallows everything without closing (rig R4).
BLACK_HOLE = Trouble(is_black_hole=True)


class Pair(NamedTuple):
    """A primary with an open shard, a replica, the way between them, and who sells."""

    primary: Redis
    replica: Redis
    link: Proxy
    reign: Reign
    engine: Engine
    waiter: GroupWaiter

    async def reach(self, timeout_ms: int = TIMEOUT_MS, *, epoch: int = 1) -> bool:
        """Wait for the replica."""
        return await self.waiter.reach(shard=SHARD, epoch=epoch, timeout_ms=timeout_ms)

    async def marks(self) -> int:
        """Return how many marks were made."""
        return int(await ask(self.primary, "HGET", keys.meta(SHARD), "waitmarks") or 0)


@pytest.fixture(scope="module")
def primary_server(server_dir: Path) -> Iterator[ValkeyServer]:
    """Run a primary that replicas can reach."""
    server = ValkeyServer(
        Path(tempfile.mkdtemp(dir=server_dir)),
        port=free_port(),
        settings={"repl-diskless-sync-delay": "0"},
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def replica_server(server_dir: Path) -> Iterator[ValkeyServer]:
    """Run what becomes a replica."""
    server = ValkeyServer(Path(tempfile.mkdtemp(dir=server_dir)))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def pair(primary_server: ValkeyServer, replica_server: ValkeyServer) -> AsyncIterator[Pair]:
    """Open a shard on the primary and let the replica follow."""
    primary, replica, client, own = (
        connect(server.url, timeout_ms=TIMEOUT_MS, connections_max=count)
        for server, count in (
            (primary_server, 4),
            (replica_server, 4),
            (primary_server, 4),
            (primary_server, 1),
        )
    )
    await ask(primary, "FLUSHALL")
    reign = await open_door(primary, SHARD, nonce="nonce")
    link = Proxy(("127.0.0.1", 0), ("127.0.0.1", primary_server.port))
    await link.start()
    assert isinstance(link.listen, tuple)
    await ask(replica, "REPLICAOF", *link.listen)
    engine = await start_engine(client, reign)
    pair = Pair(
        primary, replica, link, reign, engine, engine.wait_for_replicas(own, "0", replicas_min=1)
    )
    while not await is_online(primary):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    yield pair
    await pair.waiter.close()
    await engine.stop(timeout_s=5)
    await ask(replica, "REPLICAOF", "NO", "ONE")
    await link.stop()
    for one in (primary, replica):
        await one.aclose()


async def is_online(primary: Redis) -> bool:
    """Ask whether the replica has caught up with the primary."""
    info = await primary.info("replication")
    return "online" in str(info.get("slave0"))


async def test_f10_replica_has_what_is_vouched_for(pair: Pair, event: str) -> None:
    """When the waiter says so, the booking stands on the replica."""
    await publish(pair.engine, SHARD, event, 100)
    for user in users(5):
        buy = order(event, user)
        assert isinstance(await pair.engine.book(SHARD, buy), Booked)
        assert await pair.reach()
        row = await ask(pair.replica, "HGET", keys.event(SHARD, event).bookings, buy.id)
        assert row is not None


async def test_a_round_serves_all_who_wait(pair: Pair, event: str) -> None:
    """A thousand waiters need a few marks; and while nobody waits, none is made."""
    await publish(pair.engine, SHARD, event, 100)
    assert [True] * 1000 == await asyncio.gather(*(pair.reach() for _ in range(1000)))
    marks = await pair.marks()
    assert 1 <= marks <= 20  # A loaded machine may cut the crowd into some rounds.
    await asyncio.sleep(0.05)
    assert marks == await pair.marks()


async def test_f10_black_hole_vouches_for_nothing(pair: Pair, event: str) -> None:
    """F10: with replication swallowed the level is not reached; carried on, the same wait ends."""
    await publish(pair.engine, SHARD, event, 100)
    assert await pair.reach()
    pair.link.trouble(request=BLACK_HOLE, reply=BLACK_HOLE)
    buy = order(event, "usr")
    assert isinstance(await pair.engine.book(SHARD, buy), Booked)
    assert not await pair.reach(SHORT_MS)
    assert await ask(pair.replica, "HGET", keys.event(SHARD, event).bookings, buy.id) is None
    waiting = asyncio.create_task(pair.reach())
    pair.link.heal()
    assert await waiting
    assert await ask(pair.replica, "HGET", keys.event(SHARD, event).bookings, buy.id) is not None


async def test_f10_replaced_master_is_not_asked(pair: Pair) -> None:
    """F10: a connection that is open to an earlier master, which may live on, vouches no more."""
    assert await pair.reach()
    marks = await pair.marks()
    own = pair.waiter._read_standing
    other = replace(pair.reign, redis_run_id="that of another server")
    pair.waiter._read_standing = lambda _: Standing(other, 0)
    assert not await pair.reach(SHORT_MS)
    assert marks == await pair.marks()
    pair.waiter._read_standing = own
    assert await pair.reach()


async def test_f10_plain_wait_is_vacuous(
    pair: Pair, primary_server: ValkeyServer, event: str
) -> None:
    """What we avoid is real: WAIT on a fresh connection vouches for what is not there."""
    await publish(pair.engine, SHARD, event, 100)
    assert await pair.reach()
    pair.link.trouble(request=BLACK_HOLE, reply=BLACK_HOLE)
    assert isinstance(await pair.engine.book(SHARD, order(event, "usr")), Booked)
    fresh = connect(primary_server.url, timeout_ms=TIMEOUT_MS, connections_max=1)
    assert 1 == await ask(fresh, "WAIT", 1, SHORT_MS)
    assert not await pair.reach(SHORT_MS)
    await fresh.aclose()
    pair.link.heal()


async def test_who_comes_during_a_round_waits_for_the_next(pair: Pair, event: str) -> None:
    """A booking answered after the mark was sent is not covered by that mark."""
    await publish(pair.engine, SHARD, event, 100)
    pair.link.trouble(request=BLACK_HOLE, reply=BLACK_HOLE)
    first = asyncio.create_task(pair.reach())
    while not await pair.marks():  # noqa: ASYNC110
        await asyncio.sleep(0)
    marks = await pair.marks()
    second = asyncio.create_task(pair.reach())
    await asyncio.sleep(0)
    pair.link.heal()
    assert await first
    assert await second
    assert await pair.marks() > marks


@pytest.mark.parametrize("field", ["epoch", "state", "seq"])
async def test_f12_another_redis_vouches_for_nothing(pair: Pair, event: str, field: str) -> None:
    """F12: a Redis of another epoch, or that has lost records, marks nothing; it does not count."""
    await publish(pair.engine, SHARD, event, 100)
    assert await pair.reach()
    await ask(pair.primary, "HSET", keys.meta(SHARD), field, "0")
    assert not await pair.reach()


async def test_f15_flushed_scripts_vouch_for_nothing(pair: Pair) -> None:
    """F15: where the mark's script is gone, WAIT alone counts for nothing."""
    await ask(pair.primary, "SCRIPT FLUSH")
    assert not await pair.reach()


async def test_epoch_that_is_over_is_not_waited_for(pair: Pair) -> None:
    """I17: a wait under an epoch that this worker has left ends at once, without a mark."""
    marks = await pair.marks()
    assert not await pair.reach(epoch=0)
    pair.engine.shards[SHARD].door.shut(pair.reign, "test")
    with pytest.raises(ShardRecovering):
        pair.engine.reign(SHARD)
    assert not await pair.reach()
    assert marks == await pair.marks()


async def test_lost_connection_is_tried_again(pair: Pair) -> None:
    """A round that is cut off decides nothing; the next one does."""
    assert await pair.reach()
    await ask(pair.primary, "CLIENT KILL", "TYPE", "normal", "SKIPME", "yes")
    assert await pair.reach()


def test_no_replica_is_no_promise() -> None:
    """A waiter for no replica at all cannot be made: WAIT 0 is always true."""
    with pytest.raises(AssertionError):
        GroupWaiter(
            Redis(),
            lambda shard: Standing(Reign(shard=shard, epoch=1, script_shas={}), 0),
            replicas_min=0,
        )

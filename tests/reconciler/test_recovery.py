"""`reconciler/recover/coordinator.py`: a shard opens where both stores agree, by one hand alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from engine import keys, scripts
from engine.redis_client import connect as connect_redis
from evently.embedded import PostgresServer, ValkeyServer
from reconciler.recover.coordinator import Coordinator
from reconciler.recover.decide import CannotOpen
from store import reigns
from store.pool import connect
from tests.checks import ask
from tests.conftest import TIMEOUT_MS
from tests.reconciler.recovering import start_own
from tests.shards import SHARDS

BACKLOG_MAX = 1_000


@pytest.fixture
def own_valkey(server_dir: Path) -> Iterator[ValkeyServer]:
    """Run a Valkey that the test may kill."""
    with start_own(server_dir) as server:
        yield server


@pytest.fixture
async def own_redis(own_valkey: ValkeyServer) -> AsyncIterator[Redis]:
    """Connect to the test's own Valkey."""
    client = connect_redis(own_valkey.url, timeout_ms=TIMEOUT_MS)
    yield client
    await client.aclose()


@pytest.fixture
async def connection(postgres: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    """Open a connection for one coordinator."""
    connection = await connect(postgres.url, timeout_ms=TIMEOUT_MS)
    yield connection
    await connection.close()


def coordinator(shard: int, redis: Redis, connection: asyncpg.Connection) -> Coordinator:
    """Return a coordinator of the test's shard."""
    return Coordinator(shard, redis, connection, backlog_records_max=BACKLOG_MAX)


async def meta(redis: Redis, shard: int) -> dict[str, str]:
    """Return the shard's door as Redis has it."""
    rows = await ask(redis, "HGETALL", keys.meta(shard))
    return {name.decode(): value.decode() for name, value in rows.items()}


async def append(redis: Redis, shard: int, epoch: int, seq: int, event_id: str) -> None:
    """Append a record as a script would, and count it."""
    body = (
        f'{{"kind":"extended","version":1,"at_ms":1,"event_id":"{event_id}","hold_id":"hold_x",'
        '"user_id":"usr_x","expires_at_ms":2}'
    )
    check = await ask(redis, "EVAL", "return redis.sha1hex(ARGV[1])", 0, body)
    await ask(
        redis, "XADD", keys.journal(shard, epoch), f"{seq}-1", "records", check + body.encode()
    )
    await ask(redis, "HSET", keys.meta(shard), "seq", seq)


async def test_opens_a_new_shard(
    shard: int, own_redis: Redis, connection: asyncpg.Connection
) -> None:
    """Where neither store knows the shard, it opens empty under epoch 1."""
    one = coordinator(shard, own_redis, connection)

    assert not await one.is_well()
    assert 1 == await one.recover()
    assert await one.is_well()
    door = await meta(own_redis, shard)
    assert ("1", "open", "0") == (door["epoch"], door["state"], door["seq"])


async def test_f4_restarted_redis_is_not_well_and_reopens(
    shard: int, own_valkey: ValkeyServer, own_redis: Redis, connection: asyncpg.Connection
) -> None:
    """F4: after kill -9 the scripts are gone; recovery drains the journal and opens epoch 2."""
    one = coordinator(shard, own_redis, connection)
    await one.recover()
    await append(own_redis, shard, 1, 1, "evt_x")
    own_valkey.kill()
    own_valkey.start()

    assert not await one.is_well()
    assert 2 == await one.recover()
    assert await one.is_well()
    rows = await connection.fetch(
        "SELECT epoch, last_seq FROM shard_checkpoint WHERE shard = $1 ORDER BY epoch", shard
    )
    assert [(1, 1), (2, 0)] == [tuple(row) for row in rows]


async def test_f15_flushed_scripts_are_not_well(
    shard: int, own_redis: Redis, connection: asyncpg.Connection
) -> None:
    """F15: SCRIPT FLUSH shuts the shard until it is opened under new scripts."""
    one = coordinator(shard, own_redis, connection)
    await one.recover()
    await own_redis.script_flush("SYNC")

    assert not await one.is_well()
    assert 2 == await one.recover()


async def test_f66_lost_record_that_left_nothing_behind(
    shard: int, own_redis: Redis, connection: asyncpg.Connection
) -> None:
    """I7: a record that Redis has acted upon, and of which nothing is left, is `lost` by name."""
    one = coordinator(shard, own_redis, connection)
    await one.recover()
    await append(own_redis, shard, 1, 1, "evt_x")
    await append(own_redis, shard, 1, 2, "evt_x")
    await ask(own_redis, "XDEL", keys.journal(shard, 1), "2-1")
    await own_redis.script_flush("SYNC")

    assert 2 == await one.recover()
    rows = await connection.fetch(
        "SELECT first_seq, records FROM journal WHERE shard = $1 ORDER BY first_seq", shard
    )
    assert [1, 2] == [row["first_seq"] for row in rows]
    assert '"kind":"lost"' in rows[1]["records"]


async def test_f31_f33_postgres_that_went_back_is_frozen(
    shard: int, own_redis: Redis, connection: asyncpg.Connection
) -> None:
    """F31, F33: an epoch that Redis has used is never opened again under the same number."""
    one = coordinator(shard, own_redis, connection)
    await one.recover()
    await append(own_redis, shard, 1, 1, "evt_x")
    await connection.execute("DELETE FROM shard_epoch WHERE shard = $1", shard)
    await connection.execute("DELETE FROM shard_checkpoint WHERE shard = $1", shard)

    with pytest.raises(CannotOpen, match="gone back in time; see `reconciler repair --repair-pg`"):
        await one.recover()

    assert "recovering" == (await meta(own_redis, shard))["state"]


async def test_f31_postgres_behind_by_epochs(
    shard: int, own_redis: Redis, connection: asyncpg.Connection
) -> None:
    """F31: a Redis that later claims have passed is shut, and frozen with the way to repair."""
    one = coordinator(shard, own_redis, connection)
    for _ in range(3):
        await own_redis.script_flush("SYNC")
        await one.recover()
    await connection.execute("DELETE FROM shard_epoch WHERE shard = $1", shard)
    await connection.execute("DELETE FROM shard_checkpoint WHERE shard = $1", shard)

    with pytest.raises(CannotOpen, match="gone back in time; see `reconciler repair --repair-pg`"):
        await one.recover()

    door = await meta(own_redis, shard)
    assert ("recovering", "3", "3") == (door["state"], door["epoch"], door["claim"])


async def test_f31_trimmed_records_that_postgres_lost(
    shard: int, own_redis: Redis, connection: asyncpg.Connection
) -> None:
    """F31: records that Redis dropped because PostgreSQL had them, and it has them no more."""
    one = coordinator(shard, own_redis, connection)
    await one.recover()
    for seq in (1, 2, 3):
        await append(own_redis, shard, 1, seq, "evt_x")
    await ask(own_redis, "XTRIM", keys.journal(shard, 1), "MINID", "3-1")
    await ask(own_redis, "HSET", keys.meta(shard), "trimmed_seq", 2)
    await own_redis.script_flush("SYNC")

    with pytest.raises(CannotOpen, match=r"PostgreSQL has only 0: .*--repair-pg"):
        await one.recover()


async def test_f17_unsafe_redis_is_refused(
    shard: int, own_redis: Redis, connection: asyncpg.Connection
) -> None:
    """F17: a Redis that may lose a booking is not opened; the setting is named."""
    await own_redis.config_set("appendfsync", "everysec")
    one = coordinator(shard, own_redis, connection)

    with pytest.raises(CannotOpen, match="appendfsync is 'everysec', must be 'always'"):
        await one.recover()

    assert None is await reigns.read(connection, shard)


async def test_f41_two_coordinators_open_one_epoch(
    shard: int, own_redis: Redis, postgres: PostgresServer
) -> None:
    """F41: of five coordinators at once, one opens the shard; the others stand back."""
    connections = [await connect(postgres.url, timeout_ms=TIMEOUT_MS) for _ in range(5)]
    outcomes = await asyncio.gather(
        *(coordinator(shard, own_redis, each).recover() for each in connections),
        return_exceptions=True,
    )
    row = await reigns.read(connections[0], shard)
    is_well = await coordinator(shard, own_redis, connections[0]).is_well()
    for each in connections:
        await each.close()

    assert row is not None
    assert "open" == row.state
    epochs = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert len(epochs) == len(set(epochs))
    assert row.epoch == max(epochs)
    assert is_well
    shas = scripts.shas(row.nonce).values()
    assert all(await own_redis.script_exists(*shas))


async def test_shards_of_one_redis_do_not_disturb_each_other(
    shard: int, own_redis: Redis, connection: asyncpg.Connection
) -> None:
    """Opening one shard leaves another one of the same server open."""
    other = next(SHARDS)
    await coordinator(other, own_redis, connection).recover()
    await coordinator(shard, own_redis, connection).recover()

    assert await coordinator(other, own_redis, connection).is_well()
    assert await coordinator(shard, own_redis, connection).is_well()

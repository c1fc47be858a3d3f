"""A checkpoint that was changed by hand: the journal's own rows say where PostgreSQL is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from engine import keys
from engine.redis_client import connect as connect_redis
from evently.doctor import Report, _look_at_checkpoints
from evently.embedded import PostgresServer, ValkeyServer
from persister.persister import Options, Persister
from store import ends, ledger
from store.pool import connect
from tests.checks import ask
from tests.conftest import TIMEOUT_MS
from tests.reconciler.conftest import BoxOffice
from tests.reconciler.recovering import coordinating, opened, recover, sell
from tests.reconciler.test_repair import repair


@pytest.fixture
async def office(
    shard: int, valkey: ValkeyServer, postgres: PostgresServer, database: asyncpg.Pool
) -> AsyncIterator[BoxOffice]:
    """Return a shard that a coordinator has opened."""
    async with opened(shard, valkey, postgres, database) as office:
        yield office


async def move(office: BoxOffice, by: int) -> None:
    """Change the checkpoint as a hand does."""
    await office.database.execute(
        "UPDATE shard_checkpoint SET last_seq = greatest(0, last_seq + $2)"
        " WHERE shard = $1 AND epoch = 1",
        office.shard,
        by,
    )


async def places(office: BoxOffice, epoch: int = 1) -> tuple[int, int]:
    """Return the checkpoint, and where the journal ends."""
    there = await ends.read(office.database, office.shard, epoch)
    assert there is not None
    return tuple(there)  # type: ignore[return-value]


@contextlib.asynccontextmanager
async def persisting(office: BoxOffice) -> AsyncIterator[None]:
    """Run the persister itself."""
    redis = connect_redis(office.redis_url, timeout_ms=None, connections_max=2)
    options = Options(
        shard=office.shard, records_max=50, retention_s=600, database_timeout_ms=TIMEOUT_MS
    )
    persister = Persister({"0": redis}, office.database_url, options)
    task = asyncio.create_task(persister.run())
    try:
        yield
    finally:
        persister.stop()
        await task
        await redis.aclose()


async def until_persisted(office: BoxOffice) -> None:
    """Wait until PostgreSQL has all that Redis has."""
    while True:
        seq = await ask(office.redis, "HGET", keys.meta(office.shard), "seq")
        if (int(seq), int(seq)) == await places(office):
            return
        await asyncio.sleep(0.02)


async def rows(office: BoxOffice) -> set[str]:
    """Return the bookings that PostgreSQL has."""
    found = await office.database.fetch("SELECT id FROM bookings WHERE shard = $1", office.shard)
    return {row["id"] for row in found}


@pytest.mark.parametrize("by", [-1, -4, -20, 4, 20])
async def test_f68_persister_believes_the_rows(office: BoxOffice, by: int) -> None:
    """I4, I7: whatever the checkpoint is set to, each record is written once, none is skipped."""
    event = await office.add_event()
    acked = await sell(office, event, 10)
    await office.drain_all()
    acked |= await sell(office, event, 7)
    await move(office, by)
    async with persisting(office):
        await until_persisted(office)
        await move(office, by)  # And under its hands.
        acked |= await sell(office, event, 3)
        await until_persisted(office)
    assert set(acked) == await rows(office)
    assert set() == await office.codes()


@pytest.mark.parametrize("by", [-20, -3, 3, 20])
async def test_f68_coordinator_sees_it_and_sells_on(office: BoxOffice, by: int) -> None:
    """An open shard is well again at the next look, without being shut."""
    event = await office.add_event()
    acked = await sell(office, event, 5)
    await office.drain_all()
    acked |= await sell(office, event, 7)
    end = (await places(office))[1]
    await move(office, by)
    async with coordinating(office.shard, office.redis, office.database_url) as one:
        assert await one.is_well()
    assert (end, end) == await places(office)
    await office.drain_all()
    assert set(acked) == await rows(office)
    assert set() == await office.codes()


@pytest.mark.parametrize("by", [-20, -3, 3, 20])
async def test_f68_recovery_drops_nothing(office: BoxOffice, by: int) -> None:
    """I4: seven bookings that Redis alone has are not rebuilt away by a checkpoint that lies."""
    event = await office.add_event()
    acked = await sell(office, event, 5)
    await office.drain_all()
    acked |= await sell(office, event, 7)
    await move(office, by)
    await ask(office.redis, "SCRIPT", "FLUSH")
    one = await recover(office)
    assert one.recovered is not None
    assert "keep" == one.recovered.path.name
    assert set(acked) == await rows(office)
    assert set() == await office.codes()


async def test_f68_a_deleted_checkpoint_is_made_anew(office: BoxOffice) -> None:
    """The rows know how far they are; without one the shard would freeze."""
    event = await office.add_event()
    acked = await sell(office, event, 5)
    await office.drain_all()
    acked |= await sell(office, event, 2)
    await office.database.execute("DELETE FROM shard_checkpoint WHERE shard = $1", office.shard)
    assert {"checkpoint_behind"} <= await office.codes()
    await ask(office.redis, "SCRIPT", "FLUSH")
    await recover(office)
    assert set(acked) == await rows(office)
    assert set() == await office.codes()


async def test_f68_the_last_row_of_the_journal_comes_back(office: BoxOffice) -> None:
    """A row that was deleted at its end is written again from the stream, with all it made."""
    event = await office.add_event()
    acked = await sell(office, event, 5)
    await office.drain_all(records_max=2)
    await office.database.execute(
        "DELETE FROM journal WHERE shard = $1 AND last_seq ="
        " (SELECT max(last_seq) FROM journal WHERE shard = $1)",
        office.shard,
    )
    assert {"record_missing"} <= await office.codes()
    async with persisting(office):
        await until_persisted(office)
    assert set(acked) == await rows(office)
    assert set() == await office.codes()


async def test_f68_what_nothing_proves_is_left_alone(office: BoxOffice) -> None:
    """Behind a journal that Redis has dropped, rows are missing: the checkpoint was right."""
    event = await office.add_event()
    await sell(office, event, 5)
    await office.drain(records_max=3)
    await office.drain(records_max=3, trim=True)
    end = (await places(office))[0]
    await ask(office.redis, "HSET", keys.meta(office.shard), "trimmed_seq", end)
    await office.database.execute(
        "DELETE FROM journal WHERE shard = $1 AND last_seq = $2", office.shard, end
    )
    async with coordinating(office.shard, office.redis, office.database_url) as one:
        assert await one.is_well()
        assert await one.is_well()
    assert (end, 3) == await places(office)
    assert "record_missing" in await office.codes()


@pytest.mark.parametrize("by", [-3, 3])
async def test_f68_repair_and_doctor(office: BoxOffice, by: int) -> None:
    """Doctor and check tell it, and a repair ends in a clean shard."""
    event = await office.add_event()
    acked = await sell(office, event, 5)
    await office.drain_all(records_max=2)
    await move(office, by)
    report = Report()
    connection = await connect(office.database_url, timeout_ms=TIMEOUT_MS)
    await _look_at_checkpoints(report, connection)
    await connection.close()
    own = [row for row in report.rows if row.subject == f"shard {office.shard}"]
    assert ["bad"] == [row.grade for row in own]
    assert await office.codes() & {"checkpoint_behind", "record_missing"}
    outcome = await repair(office)
    assert ([], []) == (outcome.left, outcome.errors)
    assert outcome.epoch is not None
    assert set(acked) == await rows(office)
    assert set() == await office.codes()


async def test_f68_bytes_are_those_of_the_rows(office: BoxOffice) -> None:
    """F24: how much waits for PostgreSQL is counted from where it really is."""
    event = await office.add_event()
    await sell(office, event, 5)
    await office.drain_all(records_max=2)
    connection = await connect(office.database_url, timeout_ms=TIMEOUT_MS)
    before = await ledger.read_place(connection, shard=office.shard, epoch=1)
    for by in (-4, 4):
        await move(office, by)
        there = await ends.settle(connection, office.shard, 1, dropped_seq=0)
        assert there.agree
        assert before == await ledger.read_place(connection, shard=office.shard, epoch=1)
    await connection.close()

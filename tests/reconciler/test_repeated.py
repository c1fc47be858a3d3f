"""An honest repetition after Redis has lost a row: the first outcome stands, nobody is shut out."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from engine import keys
from engine.commands import Join, TierStock
from engine.errors import ShardRecovering
from engine.ids import entry_id, new_id
from engine.outcomes import Applied, Booked
from evently.embedded import PostgresServer, ValkeyServer
from reconciler.recover.mend import Mender
from store import reigns
from store.pool import connect
from tests.checks import ask, stock
from tests.conftest import TIMEOUT_MS
from tests.reconciler.conftest import BoxOffice
from tests.reconciler.recovering import content, opened, recover, sell, wait_open
from tests.reconciler.test_damaged import mender_of, order_of, persisting


@pytest.fixture
async def office(
    shard: int, valkey: ValkeyServer, postgres: PostgresServer, database: asyncpg.Pool
) -> AsyncIterator[BoxOffice]:
    """Return a shard that a coordinator has opened."""
    async with opened(shard, valkey, postgres, database) as office:
        yield office


@pytest.fixture
async def mender(office: BoxOffice) -> AsyncIterator[Mender]:
    """Return who mends its events."""
    connection = await connect(office.database_url, timeout_ms=TIMEOUT_MS)
    yield mender_of(office, connection)
    connection.terminate()


async def state(office: BoxOffice) -> str:
    """Return what PostgreSQL says of the shard."""
    row = await reigns.read(office.database, office.shard)
    assert row is not None
    return row.state


async def lose_row(office: BoxOffice, event_id: str, own: str) -> None:
    """Delete one booking's row in Redis."""
    await ask(office.redis, "HDEL", keys.event(office.shard, event_id).bookings, own)


@pytest.mark.parametrize("batch", [1, 1_000])
async def test_f65_an_honest_retry_freezes_nothing(
    office: BoxOffice, mender: Mender, batch: int
) -> None:
    """I1, I6: one booking, told again; its event is loaded anew, and all others sell."""
    shard, engine = office.shard, office.engine
    seller, event = await office.add_event(), await office.add_event()
    first = order_of(event.event_id)
    booked = await engine.book(shard, first)
    assert isinstance(booked, Booked)
    await office.drain_all()
    tiers, before = await stock(office.redis, shard, event.event_id), await content(office)
    await lose_row(office, event.event_id, first.id)

    again = await engine.book(shard, first)  # Redis cannot know it any more.
    assert isinstance(again, Booked)
    acked = await sell(office, event, 2)
    await office.drain_all(records_max=batch)

    assert "open" == await state(office)
    assert {"record_in_conflict"}.isdisjoint(await office.codes())
    async with persisting(office):
        await sell(office, seller, 5)
        assert [event.event_id] == await mender.turn()
        assert [] == await mender.turn()
    told = await engine.book(shard, first)
    assert isinstance(told, Booked)
    assert (booked.epoch, booked.seq, True) == (told.epoch, told.seq, told.is_replay)
    sold = await stock(office.redis, shard, event.event_id)
    assert tiers != sold
    names = keys.event(shard, event.event_id)
    rows = await ask(office.redis, "HKEYS", names.bookings)
    assert {first.id, *acked} <= {row.decode() for row in rows}
    assert before[names.bookings][first.id.encode()] == await ask(
        office.redis, "HGET", names.bookings, first.id
    )
    await office.drain_all()
    assert set() == await office.codes()


async def test_f65_in_a_recovery_as_well(office: BoxOffice) -> None:
    """What a persister had not written when the shard was claimed is no contradiction either."""
    event = await office.add_event()
    first = order_of(event.event_id)
    assert isinstance(await office.engine.book(office.shard, first), Booked)
    await office.drain_all()
    before = await content(office)
    await lose_row(office, event.event_id, first.id)
    assert isinstance(await office.engine.book(office.shard, first), Booked)
    one = await recover(office)
    assert one.recovered is not None
    assert [event.event_id] == one.recovered.mended
    assert before == await content(office)
    assert set() == await office.codes()
    with contextlib.suppress(ShardRecovering):  # The door learns it by its next command.
        await office.engine.book(office.shard, first)
    await wait_open(office.engine, office.shard, epoch=2)
    again = await office.engine.book(office.shard, first)
    assert isinstance(again, Booked)
    assert again.is_replay


async def test_f65_a_repeated_join_keeps_its_place(office: BoxOffice, mender: Mender) -> None:
    """I9: who joins once more, since Redis has lost the entry, stands where they stood."""
    shard, engine = office.shard, office.engine
    event = (await office.add_event(tiers=(TierStock(1, 100, 1),))).event_id
    await office.book(event, new_id("usr"), "k", (1, 1))
    joins = []
    for _ in range(2):
        user = new_id("usr")
        own = entry_id(event_id=event, user_id=user, idempotency_key="k")
        joins.append(Join(event, own, user, "print", 1, 1, "strict", 10**6, 10**6, 100))
        assert isinstance(await engine.join(shard, joins[-1]), Applied)
    await office.drain_all()
    before = await content(office)
    first = joins[0]
    names = keys.event(shard, event)
    await ask(office.redis, "HDEL", names.entries, first.id, f"1:{first.user_id}")
    assert isinstance(await engine.join(shard, first), Applied)
    await office.drain_all()
    assert "open" == await state(office)
    assert [event] == await mender.turn()
    assert before == await content(office)
    assert set() == await office.codes()


async def test_f29_a_cancelled_booking_that_is_made_again_is_a_conflict(office: BoxOffice) -> None:
    """Its buyer was told that it is confirmed, and the ledger has it cancelled: people judge."""
    event = await office.add_event()
    first = order_of(event.event_id)
    assert isinstance(await office.engine.book(office.shard, first), Booked)
    await office.cancel(event.event_id, first.user_id, first.id)
    await office.drain_all()
    await lose_row(office, event.event_id, first.id)
    assert isinstance(await office.engine.book(office.shard, first), Booked)
    await office.drain_all()
    assert "frozen" == await state(office)
    assert "record_in_conflict" in await office.codes()

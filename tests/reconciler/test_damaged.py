"""An event that lost a key in Redis: shut alone, rebuilt alone, and whole again."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from engine import keys
from engine.commands import Join, Order, Publish, TierStock
from engine.errors import EventRecovering
from engine.ids import entry_id, hold_id, new_id
from engine.outcomes import Applied, Booked, Held, Refused
from engine.status import Status
from evently.embedded import PostgresServer, ValkeyServer
from reconciler.recover.coordinator import make_mender
from reconciler.recover.loader import ClaimLost, Loader
from reconciler.recover.mend import Mender, Tender
from reconciler.recover.rebuild import CannotRebuild
from store import damage, reigns
from store.pool import connect
from tests.checks import FAR_MS, ask, make_booking_id, stock
from tests.conftest import TIMEOUT_MS
from tests.reconciler.conftest import DETAIL, PERSON_MAX, TIERS, BoxOffice, Shown
from tests.reconciler.recovering import content, engine_of, opened, recover, sell, wait_open
from tests.reconciler.test_cli import run
from tests.reconciler.test_rebuild import everything
from tests.reconciler.test_repair import repair

KEYS = keys.EventKeys._fields


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


def mender_of(office: BoxOffice, connection: asyncpg.Connection) -> Mender:
    """Make who mends the events of an office."""
    return make_mender(office.shard, office.redis, connection, 1_800_000)


@contextlib.asynccontextmanager
async def persisting(office: BoxOffice) -> AsyncIterator[None]:
    """Persist meanwhile, and all of it in the end."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(office.persist(stop))
        yield
        stop.set()
    await office.drain_all()


async def lose(office: BoxOffice, event_id: str, *names: str) -> None:
    """Delete keys of an event."""
    own = keys.event(office.shard, event_id)
    await ask(office.redis, "DEL", *(getattr(own, name) for name in names))


async def marks_of(redis: Redis, shard: int, event_id: str) -> set[str]:
    """Return which keys of an event have their marks."""
    own = keys.event(shard, event_id)
    found = set()
    for name, key in zip(own._fields, own, strict=True):
        verb = "ZSCORE" if key in keys.sorted_sets(own) else "HGET"
        if await ask(redis, verb, key, keys.MARK) is not None:
            found.add(name)
    return found


async def unmark(office: BoxOffice, event_id: str) -> None:
    """Leave an event as older code would have: without marks."""
    own = keys.event(office.shard, event_id)
    for key in own:
        verb = "ZREM" if key in keys.sorted_sets(own) else "HDEL"
        await ask(office.redis, verb, key, keys.MARK)


def order_of(event_id: str, user: str = "", key: str = "k") -> Order:
    """Order a place of tier 1."""
    user = user or new_id("usr")
    own = make_booking_id(event_id, user, key)
    return Order(event_id, own, user, "print", DETAIL, ((1, 1),))


async def of_others(office: BoxOffice, seller: str) -> dict[str, Any]:
    """Return what Redis has of all events but one."""
    found = await content(office)
    return {key: value for key, value in found.items() if seller not in key and ":e:" in key}


@pytest.mark.parametrize("key", KEYS)
async def test_f45_a_lost_key_shuts_its_event_alone(
    office: BoxOffice, mender: Mender, key: str
) -> None:
    """I1, I6, I8: nothing is booked twice or oversold, others sell, and the event comes back."""
    shard, engine = office.shard, office.engine
    seller, event = await office.add_event(), await office.add_event()
    acked = await sell(office, event, 8)
    await office.drain_all()
    # Acknowledged, and not in PostgreSQL yet.
    first = order_of(event.event_id)
    booked = await engine.book(shard, first)
    assert isinstance(booked, Booked)
    own = hold_id(event_id=event.event_id, user_id=first.user_id, idempotency_key="h")
    held = first._replace(id=own, ttl_ms=600_000)
    assert isinstance(await engine.hold(shard, held), Held)
    tiers = await stock(office.redis, shard, event.event_id)

    await lose(office, event.event_id, key)

    again = await engine.book(shard, first)
    # Where its row is there, it is told again; and never is it made anew.
    assert again == Refused(Status.EVENT_DAMAGED, {}) or again[:4] == (*booked[:3], True)
    if key in {"stock", "bookings", "persons"}:
        assert Refused(Status.EVENT_DAMAGED, {}) == await engine.book(
            shard, order_of(event.event_id)
        )
    assert Refused(Status.EVENT_DAMAGED, {}) == await engine.hold(
        shard, order_of(event.event_id)._replace(id=new_id("hold"), ttl_ms=1_000)
    )
    async with persisting(office):
        selling = asyncio.create_task(sell(office, seller, 50))
        assert [event.event_id] == await mender.turn()
        await selling

    assert tiers == await stock(office.redis, shard, event.event_id)
    assert set(KEYS) == await marks_of(office.redis, shard, event.event_id)
    again = await engine.book(shard, first)
    assert isinstance(again, Booked)
    assert (booked.seq, True) == (again.seq, again.is_replay)
    kept = await engine.read_hold(shard, event.event_id, own)
    assert kept is not None
    assert "held" == kept.status
    assert isinstance(await engine.book(shard, order_of(event.event_id)), Booked)
    rows = await ask(office.redis, "HKEYS", keys.event(shard, event.event_id).bookings)
    assert {*acked, first.id} <= {row.decode() for row in rows}
    await office.drain_all()
    assert set() == await office.codes()


@pytest.mark.parametrize("key", KEYS)
async def test_f45_all_that_an_event_may_have_comes_back(
    office: BoxOffice, mender: Mender, key: str
) -> None:
    """Seats, holds, offers, tickets, codes and lists of several events: to the letter."""
    await everything(office)
    seller = await office.add_event()
    await office.drain_all()
    before = await of_others(office, seller.event_id)
    names = [name for name in before if name.endswith(f":{key}")]
    published = {name.split(":")[2] for name in before if name.endswith(":stock")}
    lost = {name.split(":")[2] for name in names} & published
    for event_id in lost:
        await lose(office, event_id, key)

    async with persisting(office):
        selling = asyncio.create_task(sell(office, seller, 20))
        assert lost == set(await mender.turn())
        await selling

    after = await of_others(office, seller.event_id)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert value == after[name], name
    result = await office.check()
    assert ([], []) == (result.violations, result.errors)


async def test_f45_all_keys_lost(office: BoxOffice, mender: Mender) -> None:
    """Of an event that is gone whole, PostgreSQL says that it was published."""
    event = await office.add_event()
    await sell(office, event, 3)
    await office.drain_all()
    before = await content(office)
    await lose(office, event.event_id, *KEYS)
    await ask(office.redis, "DEL", keys.events(office.shard))
    assert [event.event_id] == await mender.turn()
    assert before == await content(office)


async def test_f45_publishing_again_does_not_sell_again(office: BoxOffice) -> None:
    """I1: a stock that is lost is not loaded anew as if nothing had been sold."""
    event = await office.add_event()
    await sell(office, event, 3)
    for names in (("stock",), KEYS):
        await lose(office, event.event_id, *names)
        command = Publish(event.event_id, "f", 1, FAR_MS, PERSON_MAX, TIERS)
        refused = Refused(Status.EVENT_DAMAGED, {})
        assert refused == await office.engine.publish(office.shard, command)


@pytest.mark.parametrize("key", KEYS)
async def test_f45_a_shard_is_not_kept_with_keys_missing(office: BoxOffice, key: str) -> None:
    """An opening looks at every event, and rebuilds those that have lost something."""
    await everything(office)
    await office.drain_all()
    before = await content(office)
    lost = [name for name in before if name.endswith(f":{key}")]
    for name in lost:
        await ask(office.redis, "DEL", name)

    one = await recover(office)

    assert one.recovered is not None
    assert "keep" == one.recovered.path.name
    assert one.recovered.mended
    after = await content(office)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert value == after[name], name
    result = await office.check()
    assert ([], []) == (result.violations, result.errors)


async def test_events_of_older_code_sell_on_and_are_marked(office: BoxOffice) -> None:
    """Without marks nothing is missed; the next opening puts them."""
    await everything(office)
    event = await office.add_event()
    first = order_of(event.event_id)
    assert isinstance(await office.engine.book(office.shard, first), Booked)
    await office.drain_all()
    before = await content(office)
    published = {name.split(":")[2] for name in before if name.endswith(":stock")}
    for event_id in published:
        await unmark(office, event_id)
    assert isinstance(await office.engine.book(office.shard, order_of(event.event_id)), Booked)
    held = order_of(event.event_id)._replace(id=new_id("hold"), ttl_ms=1)
    assert isinstance(await office.engine.hold(office.shard, held), Held)
    await office.drain_all()
    assert set() == await office.codes()

    one = await recover(office)

    assert one.recovered is not None
    assert [] == one.recovered.mended
    for event_id in published:
        assert set(KEYS) == await marks_of(office.redis, office.shard, event_id)
    result = await office.check()
    assert ([], []) == (result.violations, result.errors)


@pytest.mark.parametrize("key", KEYS)
async def test_f45_what_an_event_of_older_code_lost_is_found_at_opening(
    office: BoxOffice, key: str
) -> None:
    """What must be there is told by its counters, and by PostgreSQL."""
    await everything(office)
    await office.drain_all()
    before = await content(office)
    published = {name.split(":")[2] for name in before if name.endswith(":stock")}
    for event_id in published:  # As the API does, before it publishes.
        for code in before[f"{keys.event(office.shard, event_id).promos}"].keys() - {b"!"}:
            if b"." not in code:
                await office.database.execute(
                    "INSERT INTO promos VALUES ($1, $2, 1, 10, 0, '{}') ON CONFLICT DO NOTHING",
                    event_id,
                    code.decode(),
                )
    had = set()
    for event_id in published:
        await unmark(office, event_id)
        if await ask(office.redis, "EXISTS", getattr(keys.event(office.shard, event_id), key)):
            had.add(event_id)
        await lose(office, event_id, key)

    one = await recover(office)

    assert one.recovered is not None
    assert had
    assert set(one.recovered.mended) <= had
    assert before == await content(office)


async def test_version_1_has_no_marks_and_is_mended_without(
    office: BoxOffice, mender: Mender, database: asyncpg.Pool
) -> None:
    """Older code reads what a reign of version 1 writes; a stock is missed there all the same."""
    assert await reigns.set_records_version(database, office.shard, 1)
    await recover(office)
    event = await office.add_event(publish=False)
    first = order_of(event.event_id)
    async with engine_of(office.redis_url, database, office.shard) as engine:
        await wait_open(engine, office.shard, epoch=2)
        command = Publish(event.event_id, "f", 1, FAR_MS, PERSON_MAX, TIERS)
        await engine.publish(office.shard, command)
        assert isinstance(await engine.book(office.shard, first), Booked)
    await recover(office)  # Drains.
    before = await content(office)
    await lose(office, event.event_id, "stock")
    assert [event.event_id] == await mender.turn()
    assert before == await content(office)
    assert set() == await marks_of(office.redis, office.shard, event.event_id)
    async with engine_of(office.redis_url, database, office.shard) as engine:
        await wait_open(engine, office.shard, epoch=3)
        again = await engine.book(office.shard, first)
        assert isinstance(again, Booked)
        assert again.is_replay
    assert await reigns.set_records_version(database, office.shard, 2)
    await recover(office)
    assert set(KEYS) == await marks_of(office.redis, office.shard, event.event_id)


async def test_f41_f45_of_two_rebuilds_the_later_goes_on(office: BoxOffice, mender: Mender) -> None:
    """F41: a rebuild that was overtaken, or whose shard was, writes nothing any more."""
    event = await office.add_event()
    await office.drain_all()
    early = await mender._shut(event.event_id, 1, "open")
    async with Loader(office.redis, office.shard, 1, event=early) as loader:
        late = await mender._shut(event.event_id, 1, "open")
        await loader.put(keys.shut(office.shard, event.event_id), {"fingerprint": "early"})
        with pytest.raises(ClaimLost):
            await loader.flush()
    with pytest.raises(ClaimLost):
        await Loader(office.redis, office.shard, 1, event=early).__aenter__()
    await recover(office)
    with pytest.raises(ClaimLost):
        await Loader(office.redis, office.shard, 1, event=late).__aenter__()
    with pytest.raises(ClaimLost, match="FENCED 2 open"):
        await mender._shut(event.event_id, 1, "open")
    with pytest.raises(ClaimLost, match="FENCED 2"):
        await mender.look([event.event_id], 1)


async def test_what_postgresql_lacks_is_waited_for(
    office: BoxOffice, mender: Mender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a persister the event stays shut, and comes back once it has caught up."""
    monkeypatch.setattr("reconciler.recover.mend.CATCH_UP_S_MAX", 0.1)
    monkeypatch.setattr("reconciler.recover.mend.RETRY_S", 0.0)
    event = await office.add_event()
    await office.drain_all()
    first = order_of(event.event_id)
    assert isinstance(await office.engine.book(office.shard, first), Booked)
    await lose(office, event.event_id, "persons")
    with pytest.raises(CannotRebuild, match="persister"):
        await mender.rebuild(event.event_id, ["persons"], epoch=1, state="open", marks=True)
    assert [] == await mender.turn()
    for order in (first, order_of(event.event_id)):
        assert Refused(Status.EVENT_DAMAGED, {}) == await office.engine.book(office.shard, order)
    assert {"key_lost"} == await office.codes()
    [loss] = [
        one
        for one in await damage.lately(office.database, dt.timedelta(hours=1))
        if one.event_id == event.event_id
    ]
    assert ("persons", None) == (loss.lost, loss.rebuilt_at)
    await office.drain_all()
    assert [event.event_id] == await mender.turn()
    assert 0 == await damage.count(office.database, office.shard)
    again = await office.engine.book(office.shard, first)
    assert isinstance(again, Booked)
    assert again.is_replay


async def test_lists_of_the_shard_are_mended_at_a_look(office: BoxOffice, mender: Mender) -> None:
    """An event that no list names any more is swept, emptied and found again."""
    event, over = await office.add_event(), await office.add_event()
    held = order_of(event.event_id)._replace(id=new_id("hold"), ttl_ms=600_000)
    assert isinstance(await office.engine.hold(office.shard, held), Held)
    await sell(office, over, 2)
    await office.engine.cancel_event(office.shard, over.event_id)
    await office.drain_all()
    shard = office.shard
    await ask(office.redis, "DEL", keys.events(shard), keys.due(shard), keys.cancelling(shard))
    assert [] == await mender.turn()
    both = {event.event_id.encode(), over.event_id.encode()}
    assert both == await ask(office.redis, "SMEMBERS", keys.events(shard))
    assert [event.event_id.encode()] == await ask(office.redis, "ZRANGE", keys.due(shard), 0, -1)
    assert {over.event_id.encode()} == await ask(office.redis, "SMEMBERS", keys.cancelling(shard))


async def test_who_waits_for_a_cancelled_event_is_not_forgotten(
    office: BoxOffice, mender: Mender
) -> None:
    """Where nothing is taken any more and somebody waits, the event is emptied all the same."""
    shard, engine = office.shard, office.engine
    event_id = (await office.add_event(tiers=(TierStock(1, 2500, 10),))).event_id
    user = new_id("usr")
    booking = await office.book(event_id, user, "k", (1, 1))
    waiter = entry_id(event_id=event_id, user_id=user, idempotency_key="k")
    join = Join(event_id, waiter, user, "print", 1, 1, "strict", 10**6, 10**6, 100)
    assert isinstance(await engine.join(shard, join), Applied)
    await engine.close(shard, event_id)
    await office.cancel(event_id, user, booking)
    await engine.cancel_event(shard, event_id)
    await office.drain_all()
    await ask(office.redis, "DEL", keys.cancelling(shard))
    assert [] == await mender.turn()
    assert {event_id.encode()} == await ask(office.redis, "SMEMBERS", keys.cancelling(shard))


async def test_a_coordinator_mends_by_itself(office: BoxOffice) -> None:
    """Turns are taken in the background, one at a time."""
    event = await office.add_event()
    await office.drain_all()
    await lose(office, event.event_id, "waitlist")
    tender = Tender(
        partial(connect, office.database_url, timeout_ms=TIMEOUT_MS), partial(mender_of, office)
    )
    while len(await marks_of(office.redis, office.shard, event.event_id)) < len(KEYS):
        tender.tend()
        await asyncio.sleep(0.02)
    await tender.rest()
    assert set() == await office.codes()


@pytest.mark.parametrize("key", ["holds", "entries", "stock"])
async def test_nobody_is_told_that_it_is_not_there(office: BoxOffice, key: str) -> None:
    """Who asks for a hold or an entry hears that nobody knows, as long as nobody does."""
    event = await office.add_event()
    await lose(office, event.event_id, key)
    if key != "entries":
        with pytest.raises(EventRecovering):
            await office.engine.read_hold(office.shard, event.event_id, new_id("hold"))
    if key != "holds":
        with pytest.raises(EventRecovering):
            await office.engine.read_entries(office.shard, event.event_id, [new_id("wl")])


async def test_repair_of_a_selling_shard_mends(office: BoxOffice) -> None:
    """`check` names the lost key, and a repair has the shard opened anew, which rebuilds."""
    event: Shown = await office.add_event()
    await sell(office, event, 3)
    await office.drain_all()
    before = await content(office)
    await lose(office, event.event_id, "bookings")
    assert {"key_lost"} == await office.codes()
    outcome = await repair(office)
    assert ([], []) == (outcome.left, outcome.errors)
    assert before == await content(office)


async def test_mend_by_hand(office: BoxOffice) -> None:
    """An event is loaded anew; a draft is left alone, and can still be published."""
    event, draft = await office.add_event(), await office.add_event(publish=False)
    await sell(office, event, 3)
    await office.drain_all()
    before = await content(office)
    await lose(office, event.event_id, "persons")
    code, text = await run(office, "mend", event.event_id)
    assert (0, f"{event.event_id}: rebuilt from PostgreSQL; it had lost persons\n") == (code, text)
    assert (2, "") == await run(office, "mend", draft.event_id)
    assert before == await content(office)
    command = Publish(draft.event_id, "f", 1, FAR_MS, PERSON_MAX, TIERS)
    assert isinstance(await office.engine.publish(office.shard, command), Applied)

"""A journal in Redis that was shortened before PostgreSQL had it: nothing that was told is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from engine import keys
from engine.commands import Join, Order, TierStock
from engine.ids import entry_id, hold_id, new_id
from engine.outcomes import Applied, Held
from engine.records import read_entries
from evently.embedded import PostgresServer, ValkeyServer
from reconciler.recover import coordinator as recovery
from reconciler.recover.decide import CannotOpen
from store import redo
from tests.checks import ask
from tests.reconciler.conftest import DETAIL, BoxOffice
from tests.reconciler.recovering import content, opened, recover, sell
from tests.reconciler.test_rebuild import everything


@pytest.fixture
async def office(
    shard: int, valkey: ValkeyServer, postgres: PostgresServer, database: asyncpg.Pool
) -> AsyncIterator[BoxOffice]:
    """Return a shard that a coordinator has opened."""
    async with opened(shard, valkey, postgres, database) as office:
        yield office


@pytest.fixture(autouse=True)
def _grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "REDO_GRACE_S", 0.0)


async def shorten(office: BoxOffice, how: str) -> None:
    """Take records out of the journal that PostgreSQL does not have."""
    entries: Any = await ask(office.redis, "XRANGE", office.journal, "-", "+")
    if how == "XTRIM":
        await ask(office.redis, "XTRIM", office.journal, "MAXLEN", 1)
    elif how == "DEL":
        await ask(office.redis, "DEL", office.journal)
    elif how == "XDEL of the last":
        await ask(office.redis, "XDEL", office.journal, entries[-1][0])
    else:
        await ask(office.redis, "XDEL", office.journal, *(name for name, _ in entries[-4:-1]))


WAYS = ("XTRIM", "DEL", "XDEL of the last", "XDEL in the middle")


async def wait_in_line(office: BoxOffice) -> tuple[str, str, str]:
    """Sell an event out and join its list; return event, entry and who it is."""
    event = (await office.add_event(tiers=(TierStock(1, 100, 1),))).event_id
    await office.book(event, new_id("usr"), "k", (1, 1))
    await office.drain_all()
    user = new_id("usr")
    own = entry_id(event_id=event, user_id=user, idempotency_key="k")
    join = Join(event, own, user, "print", 1, 1, "strict", 10**6, 10**6, 100)
    assert isinstance(await office.engine.join(office.shard, join), Applied)
    return event, own, user


@pytest.mark.parametrize("how", WAYS)
async def test_f66_nothing_that_was_told_is_lost(office: BoxOffice, how: str) -> None:
    """I4: bookings, holds and joins whose records are gone stay, in both stores."""
    event, line, waiter = await wait_in_line(office)
    show = (await office.add_event()).event_id
    user = new_id("usr")
    held = hold_id(event_id=show, user_id=user, idempotency_key="h")
    order = Order(show, held, user, "print", DETAIL, ((1, 2),), 600_000)
    assert isinstance(await office.engine.hold(office.shard, order), Held)
    booked = await office.book(show, user, "k", (1, 1), (2, 2))
    gone = await office.book(show, user, "l", (1, 1))
    await office.cancel(show, user, gone)
    before = await content(office)

    await shorten(office, how)
    one = await recover(office)

    assert one.recovered is not None
    assert "keep" == one.recovered.path.name
    assert before == await content(office)
    rows = await office.database.fetch(
        "SELECT id, status::text FROM bookings WHERE event_id = $1", show
    )
    assert {booked: "confirmed", gone: "cancelled"} == dict(map(tuple, rows))
    entry = await office.database.fetchrow("SELECT * FROM waitlist_entries WHERE id = $1", line)
    assert entry is not None
    assert (event, waiter, "waiting") == (entry["event_id"], entry["user_id"], entry["status"])
    assert set() == await office.codes()


@pytest.mark.parametrize("how", ["XTRIM", "DEL"])
async def test_f66_of_all_that_there_may_be(office: BoxOffice, how: str) -> None:
    """Whatever Redis may have, undrained: the same to the letter, and the check finds nothing."""
    await everything(office)
    before = await content(office)
    await shorten(office, how)
    await recover(office)
    assert before == await content(office)
    assert set() == await office.codes()


async def test_f66_what_workers_remember_is_taken_as_it_was(office: BoxOffice) -> None:
    """A booking keeps what its buyer wrote: the worker's record is before the derived one."""
    show = (await office.add_event()).event_id
    await office.drain_all()
    user = new_id("usr")
    own = await office.book(show, user, "k", (1, 1))
    [(name, fields)] = await ask(office.redis, "XREVRANGE", office.journal, "+", "-", "COUNT", 1)
    [entry] = read_entries(name, fields)
    told = redo.Row(1, entry.seq, entry.raw.decode())
    await redo.write(office.database, shard=office.shard, worker="w", rows=[told])
    await shorten(office, "DEL")
    await recover(office)
    found = await office.database.fetchval(
        "SELECT special_requests FROM bookings WHERE id = $1", own
    )
    assert "aisle" == found
    assert not await redo.has_rows(office.database, office.shard)
    assert set() == await office.codes()


async def test_f66_a_redis_that_lost_more_is_frozen(office: BoxOffice) -> None:
    """Where bookings are gone with their records, nobody says that there were none."""
    show = await office.add_event()
    await office.drain_all()
    await sell(office, show, 3)
    await shorten(office, "DEL")
    await ask(office.redis, "DEL", keys.event(office.shard, show.event_id).bookings)
    with pytest.raises(CannotOpen, match="has lost bookings"):
        await recover(office)


async def test_f66_counters_that_nobody_explains_freeze(office: BoxOffice) -> None:
    """A booking's row that is gone with its record leaves its places behind: a human looks."""
    show = await office.add_event()
    await office.drain_all()
    acked = await sell(office, show, 3)
    await shorten(office, "DEL")
    own = keys.event(office.shard, show.event_id).bookings
    await ask(office.redis, "HDEL", own, next(iter(acked)))
    with pytest.raises(CannotOpen, match="Redis is not what its records make"):
        await recover(office)


async def test_f66_the_forced_rebuild_loses_no_join(office: BoxOffice) -> None:
    """The runbook's last resort as well takes what Redis has acted upon."""
    event, own, user = await wait_in_line(office)
    await shorten(office, "DEL")
    one = await recover(office, is_rebuild_forced=True)
    assert one.recovered is not None
    assert "rebuild" == one.recovered.path.name
    [row] = await office.database.fetch("SELECT id FROM waitlist_entries WHERE user_id = $1", user)
    assert own == row["id"]
    assert set() == await office.codes()
    found = await ask(office.redis, "HGET", keys.event(office.shard, event).entries, own)
    assert found.startswith(b"waiting ")


async def test_f66_a_booking_is_not_sold_again_afterwards(office: BoxOffice) -> None:
    """I1: the place of a booking whose record was lost stays taken."""
    show = (await office.add_event(tiers=(TierStock(1, 100, 1),))).event_id
    await office.drain_all()
    user = new_id("usr")
    await office.book(show, user, "k", (1, 1))
    await shorten(office, "DEL")
    await recover(office)
    stock = await ask(
        office.redis, "HMGET", keys.event(office.shard, show).stock, "1.sold", "1.available"
    )
    assert [b"1", b"0"] == stock

"""Witnesses: a worker remembers every kind of change that it tells somebody of."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from engine import redo
from engine.commands import (
    Amend,
    CancelItem,
    Extend,
    Join,
    Order,
    Own,
    Publish,
    Reopen,
    Scan,
    SetCapacity,
    ShiftSeats,
    TierAmendment,
    TierStock,
    Transfer,
)
from engine.engine import Engine
from engine.errors import ShardRecovering
from engine.ids import hold_id, new_id
from engine.records import decode
from engine.script_docs import read_header
from engine.seats import Section
from engine.verbs import VERBS
from tests.checks import FAR_MS, ask, journal, make_booking_id, users
from tests.engine.conftest import Start, order
from tests.engine.test_redo import Shelf, empty

#: Verbs whose records nobody is answered with: what they do is done again by who calls them.
BY_MACHINES = {"empty_event", "expire"}
DETAIL = '{"special_requests":"\u00fc\\"","metadata":{"a":1}}'.encode()


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Return what stands for PostgreSQL, and let buffers look without pause."""
    monkeypatch.setattr(redo, "LOOK_INTERVAL_S", 0)
    monkeypatch.setattr(redo, "RETRY_INTERVAL_S", 0)
    return Shelf()


async def _sell(engine: Engine, shard: int, event: str) -> None:
    """Book, hold, give back and be let in, in every way that there is."""
    one, two, three, four = users(4)
    buys = [order(event, who, (1, 3), (2, 2), detail=DETAIL) for who in (one, two)]
    for buy in buys:
        await engine.book(shard, buy)
    holds = [
        hold_id(event_id=event, user_id=three, idempotency_key=f"k{number}") for number in range(3)
    ]
    for held in holds:
        await engine.hold(shard, Order(event, held, three, "f2", DETAIL, ((1, 1), (2, 1)), 60_000))
    await engine.extend(shard, Extend(event, holds[0], three, 90_000, 900_000))
    await engine.confirm(shard, Own(event, holds[0], three))
    await engine.release(shard, Own(event, holds[1], three))
    booking = buys[0].id
    await engine.checkin(shard, Scan(event, booking, 1, 1, "north", "usr_gate", "scan-1", 7))
    await engine.checkin(shard, Scan(event, booking, 1, 1, "south", "usr_gate", "scan-2", 8))
    await engine.undo_checkin(shard, Scan(event, booking, 1, 1, "north", "usr_gate"))
    await engine.transfer(shard, Transfer(event, booking, 2, one, four))
    await engine.cancel_item(shard, CancelItem(event, booking, one, 1, ((1, 1),)))
    await engine.cancel(shard, Own(event, buys[1].id, two))


async def _wait(engine: Engine, shard: int, event: str) -> None:
    """Fill the first tier and wait for it."""
    filler, one, two = users(3)
    for key in "abcdef":
        own = make_booking_id(event, filler, key)
        await engine.book(shard, Order(event, own, filler, "f", b"{}", ((1, 1),)))
    for number, who in enumerate((one, two)):
        join = Join(event, new_id("wl"), who, "f", 1, 2 + number, "strict", 1, 60_000, 99)
        await engine.join(shard, join)
        if who == one:
            await engine.leave(shard, Own(event, join.id, who))


async def _organize(engine: Engine, shard: int, event: str) -> None:
    """Change the sale in every way, and call the event off."""
    await engine.block(shard, ShiftSeats(event, ("s1-9", "s1-10")))
    await engine.unblock(shard, ShiftSeats(event, ("s1-9",)))
    await engine.set_capacity(shard, SetCapacity(event, ((1, 60),), FAR_MS - 1))
    await engine.set_capacity(shard, SetCapacity(event, ((1, 61),)))
    await engine.amend(shard, Amend(event, {"person_max": 9}, (TierAmendment(1, price_minor=7),)))
    await engine.close(shard, event)
    await engine.reopen(shard, Reopen(event, FAR_MS - 2))
    await engine.cancel_event(shard, event)


async def test_f60_every_kind_that_is_told_has_a_witness(
    shelf: Shelf, start: Start, redis: Redis, shard: int, event: str
) -> None:
    """F60, I4: what a worker writes of any kind is to the letter what the script had appended."""
    buffer = shelf.buffer()
    engine = await start(make_redo=lambda _: buffer)
    await engine.seat(shard, event, Section(1, 2, (10,)))
    tiers = (TierStock(10, 100, 10), TierStock(10, 250, 10))
    await engine.publish(shard, Publish(event, "p", 0, FAR_MS, 9, tiers, 1))
    await _sell(engine, shard, event)
    await _wait(engine, shard, event)
    await _organize(engine, shard, event)

    await ask(redis, "SCRIPT FLUSH")
    with pytest.raises(ShardRecovering):
        await engine.book(shard, order(event, new_id("usr")))
    await empty(buffer)
    entries = await journal(redis, shard)
    written = {entry.seq: entry.raw.decode() for entry in entries}
    kept = {row.seq: row.record for row in shelf.rows}
    assert kept.items() <= written.items()
    kinds = {type(entry.record).__name__ for entry in entries}
    machines = {"Offered", "Stalled", "Expired"}
    unheard = {type(entry.record).__name__ for entry in entries if entry.seq not in kept}
    assert unheard <= machines
    assert {
        "Published",
        "Booked",
        "Held",
        "Extended",
        "Confirmed",
        "Released",
        "CheckedIn",
        "ScanRefused",
        "CheckInUndone",
        "Transferred",
        "ItemCancelled",
        "Cancelled",
        "Joined",
        "Left",
        "Blocked",
        "Unblocked",
        "CapacitySet",
        "Amended",
        "Reopened",
        "Closed",
        "EventCancelled",
    } <= kinds
    for row in shelf.rows:
        decode(row.record.encode())


def test_f60_no_verb_is_forgotten() -> None:
    """F60: a verb that journals is witnessed, or is called by machines alone."""
    journalling = {name for name in VERBS if "journal `" in read_header(name).sections["Emits"]}
    assert BY_MACHINES == {name for name in journalling if VERBS[name].witness is None}
    assert {"sweeper"} == {VERBS[name].roles for name in BY_MACHINES}


async def test_f60_a_repeated_answer_is_no_second_witness(
    shelf: Shelf, start: Start, shard: int, event: str
) -> None:
    """A hold that is told again may have another deadline by then: its first answer counts."""
    buffer = shelf.buffer()
    shelf.is_away = True
    engine = await start(make_redo=lambda _: buffer)
    await engine.publish(shard, Publish(event, "p", 0, FAR_MS, 9, (TierStock(10, 100, 10),)))
    [user] = users(1)
    held = hold_id(event_id=event, user_id=user, idempotency_key="k")
    asked = Order(event, held, user, "f", b"{}", ((1, 1),), 60_000)
    await asyncio.gather(*(engine.hold(shard, asked) for _ in range(3)))
    assert 2 == buffer.records

"""Redis rebuilt from PostgreSQL: the same to the letter, and a crash on the way only delays it."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from redis.exceptions import ResponseError

from engine import keys
from engine.commands import Order, Own, ShiftSeats, TierStock
from engine.ids import hold_id, new_id
from engine.outcomes import Booked, Held
from engine.records import Booked as BookedRecord
from engine.records import Detail, Item, Rules, encode
from reconciler.recover import coordinator as recovery
from reconciler.recover import rebuild as rebuilding
from reconciler.recover.decide import CannotOpen
from reconciler.recover.loader import ClaimLost, Loader
from store import redo, reigns
from tests.checks import FAR_MS, ask, make_booking_id, stock
from tests.reconciler import (
    test_amended,
    test_gate,
    test_promos,
    test_seats,
    test_tier_rules,
    test_waitlist,
)
from tests.reconciler.conftest import DETAIL, BoxOffice
from tests.reconciler.recovering import content, coordinating, engine_of, recover, wait_open, wipe


async def waiting_people(office: BoxOffice, policy: str, seed: int) -> None:
    """Let people book, hold, wait, take offers, cancel and forget, at random."""
    rules = Rules(ends_at_ms=FAR_MS, after_end="t1t", pools="p9t1t2t")
    event = await office.add_event(
        tiers=(TierStock(8, 2500, 10), TierStock(4, 9900, 10)), rules=rules
    )
    people = [
        test_waitlist.Person(office, event.event_id, policy, seed + number) for number in range(10)
    ]
    for _ in range(12):
        await asyncio.gather(*(person.act() for person in people))


async def everything(office: BoxOffice) -> None:
    """Make each kind of thing that Redis may have, in several events."""
    await office.add_event()
    await office.add_event(publish=False)
    await office.add_event(tiers=(TierStock(5, 1, 5), TierStock(5, 1, 5, is_hidden=True)))
    hall = await test_seats.open_hall(office)
    users = [new_id("usr") for _ in range(3)]
    assert isinstance(await test_seats.book(office, hall, users[0], "a", "s1-2+s2-1"), Booked)
    assert isinstance(await test_seats.book(office, hall, users[1], "b", "s1-3"), Booked)
    own = Own(hall, make_booking_id(hall, users[1], "b"), users[1])
    await office.engine.cancel(office.shard, own)
    await office.engine.block(office.shard, ShiftSeats(hall, ("s2-7", "s2-8")))
    await office.engine.unblock(office.shard, ShiftSeats(hall, ("s2-8",)))
    held = Order(
        hall,
        hold_id(event_id=hall, user_id=users[2], idempotency_key="h"),
        users[2],
        "f",
        DETAIL,
        ((1, 2, "best"),),
        600_000,
    )
    assert isinstance(await office.engine.hold(office.shard, held), Held)
    gate = await office.add_event()
    await test_gate.one_of_each(office, gate)
    await test_amended.amend_all(office)
    over = await office.add_event()
    await test_gate.one_of_each(office, over)
    await office.engine.cancel_event(office.shard, over.event_id)
    await test_promos.sell(office)
    limited = await office.add_event(tiers=test_tier_rules.TIERS)
    for seed in range(3):
        chance = random.Random(seed)
        await test_tier_rules.sell(office, limited, new_id("usr"), chance)
    for seed, policy in enumerate(("strict", "skip", "strict")):
        await waiting_people(office, policy, 100 * seed)


async def test_f6_rebuilt_to_the_letter(office: BoxOffice) -> None:
    """F6, I8: an emptied Redis has afterwards all that it had, and the check finds nothing."""
    await everything(office)
    await office.drain_all(records_max=37)
    before = await content(office)
    await wipe(office)

    one = await recover(office)

    after = await content(office)
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert value == after[key], key
    assert one.recovered is not None
    assert "rebuild" == one.recovered.path.name
    result = await office.check()
    assert ([], []) == (result.violations, result.errors)


async def test_f6_small_groups_and_commands(
    office: BoxOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut into ever so small groups and commands, the same comes out."""
    monkeypatch.setattr("reconciler.event.snapshot.GROUP_EVENTS_MAX", 2)
    monkeypatch.setattr("reconciler.recover.rebuild.PAIRS_MAX", 2)
    monkeypatch.setattr("reconciler.recover.loader.PAIRS_MAX", 3)
    monkeypatch.setattr("reconciler.recover.loader.BATCH_BYTES", 100)
    for _ in range(3):
        event = await office.add_event()
        users = [new_id("usr") for _ in range(20)]
        own = [await office.book(event.event_id, user, "k", (1, 2), (2, 1)) for user in users]
        await office.cancel(event.event_id, users[0], own[0])
    await office.drain_all(records_max=37)
    before = await content(office)
    await wipe(office)

    await recover(office)

    assert before == await content(office)


async def test_f38_a_key_finds_its_booking_after_a_rebuild(office: BoxOffice) -> None:
    """F38, I6: the same key gets the same answer as before Redis was lost, and the sale goes on."""
    event = await office.add_event()
    user = new_id("usr")
    own = make_booking_id(event.event_id, user, "k")
    order = Order(event.event_id, own, user, "print", DETAIL, ((1, 2),))
    first = await office.engine.book(office.shard, order)
    await office.drain_all(records_max=37)
    await wipe(office)
    await recover(office)

    async with engine_of(office.redis_url, office.database, office.shard) as engine:
        await wait_open(engine, office.shard)
        again = await engine.book(office.shard, order)
        held = hold_id(event_id=event.event_id, user_id=user, idempotency_key="h")
        hold = Order(event.event_id, held, user, "print", DETAIL, ((1, 1),), 60_000)
        assert isinstance(await engine.hold(office.shard, hold), Held)
        assert isinstance(
            await engine.confirm(office.shard, Own(event.event_id, held, user)), Booked
        )

    assert isinstance(first, Booked)
    assert isinstance(again, Booked)
    assert again.is_replay
    assert first[:3] == again[:3]


async def test_live_hold_is_confirmed_after_a_rebuild(office: BoxOffice) -> None:
    """A hold that PostgreSQL's journal knows survives the loss of Redis, with its places."""
    event = await office.add_event()
    user = new_id("usr")
    held = hold_id(event_id=event.event_id, user_id=user, idempotency_key="h")
    hold = Order(event.event_id, held, user, "print", DETAIL, ((1, 3),), 600_000)
    assert isinstance(await office.engine.hold(office.shard, hold), Held)
    await office.drain_all(records_max=37)
    await wipe(office)
    one = await recover(office)

    assert one.recovered is not None
    assert one.recovered.rebuilt is not None
    assert (1, 0) == (one.recovered.rebuilt.holds, one.recovered.rebuilt.dropped_holds)
    assert 3 == (await stock(office.redis, office.shard, event.event_id))[1].held
    async with engine_of(office.redis_url, office.database, office.shard) as engine:
        await wait_open(engine, office.shard)
        outcome = await engine.confirm(office.shard, Own(event.event_id, held, user))
    assert isinstance(outcome, Booked)


def booked_record(event_id: str, user_id: str, *items: Item) -> BookedRecord:
    """Make a record that a worker might still know."""
    return BookedRecord(
        version=1,
        at_ms=FAR_MS // 5,
        event_id=event_id,
        booking_id=make_booking_id(event_id, user_id, "k"),
        user_id=user_id,
        fingerprint="print",
        items=list(items),
        detail=Detail(),
    )


async def test_hold_gives_way_to_an_acknowledged_booking(office: BoxOffice) -> None:
    """A booking that only a worker remembers comes back; the hold on its places does not."""
    event = await office.add_event(tiers=(TierStock(4, 2500, 10),))
    user, other = new_id("usr"), new_id("usr")
    held = hold_id(event_id=event.event_id, user_id=user, idempotency_key="h")
    hold = Order(event.event_id, held, user, "print", DETAIL, ((1, 3),), 600_000)
    assert isinstance(await office.engine.hold(office.shard, hold), Held)
    await office.drain_all(records_max=37)
    record = booked_record(event.event_id, other, Item(1, 2, 2500))
    row = redo.Row(1, 5, encode(record).decode())
    await redo.write(office.database, shard=office.shard, worker="w", rows=[row])
    await wipe(office)
    one = await recover(office)

    assert one.recovered is not None
    assert one.recovered.rebuilt is not None
    assert (1, 2) == (one.recovered.merged.found, one.recovered.merged.lost)
    assert 1 == one.recovered.rebuilt.dropped_holds
    tiers = await stock(office.redis, office.shard, event.event_id)
    assert (2, 0, 2) == tuple(tiers[1])
    assert ([], []) == ((result := await office.check()).violations, result.errors)


async def test_late_redo_reopens_the_shard(office: BoxOffice) -> None:
    """What a worker writes after the shard was opened is merged too, by itself."""
    event = await office.add_event()
    await office.drain_all(records_max=37)
    async with coordinating(office.shard, office.redis, office.database_url) as one:
        await one.recover()
        assert await one.is_well()
        record = booked_record(event.event_id, new_id("usr"), Item(1, 2, 2500))
        row = redo.Row(1, 2, encode(record).decode())
        await redo.write(office.database, shard=office.shard, worker="w", rows=[row])

        assert not await one.is_well()
        await one.recover()
        assert await one.is_well()

    value = await ask(
        office.redis, "HGET", keys.event(office.shard, event.event_id).bookings, record.booking_id
    )
    assert value.startswith(b"confirmed 1 1 2 ")


@pytest.mark.parametrize("step", ["_read_sales", "_wipe", "_copy", "_load"])
async def test_f41_a_crashed_rebuild_is_begun_anew(
    office: BoxOffice, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """F41: after a crash at any step the next recovery rebuilds again, and never keeps the half."""
    event = await office.add_event()
    users = [new_id("usr") for _ in range(5)]
    for user in users:
        await office.book(event.event_id, user, "k", (1, 1))
    await office.drain_all(records_max=37)
    before = await content(office)
    await wipe(office)
    real: Any = getattr(rebuilding.Rebuild, step)

    async def crash(self: Any, *words: Any) -> Any:
        await real(self, *words)
        raise ConnectionError("crashed here")

    with monkeypatch.context() as broken:
        broken.setattr(rebuilding.Rebuild, step, crash)
        async with coordinating(office.shard, office.redis, office.database_url) as one:
            with pytest.raises(ConnectionError, match="crashed here"):
                await one.recover()
    assert b"rebuilding" == await ask(office.redis, "HGET", keys.meta(office.shard), "state")

    again = await recover(office)

    assert again.recovered is not None
    assert "rebuild" == again.recovered.path.name
    assert before == await content(office)


@pytest.mark.parametrize(
    ("home", "step"),
    [
        (recovery.Coordinator, "_gather"),
        (recovery.Coordinator, "_evidence"),
        (rebuilding.Rebuild, "_read_sales"),
        (rebuilding.Rebuild, "run"),
    ],
)
async def test_f13_emptied_under_the_recovery(
    office: BoxOffice, monkeypatch: pytest.MonkeyPatch, home: Any, step: str
) -> None:
    """F13: a Redis that is emptied while it is recovered is not opened empty, nor frozen."""
    event = await office.add_event()
    for n in range(5):
        await office.book(event.event_id, new_id("usr"), f"k{n}", (1, 1))
    await office.drain_all(records_max=37)
    before = await content(office)
    if home is rebuilding.Rebuild:
        await wipe(office)
    real: Any = getattr(home, step)

    async def empty(self: Any, *words: Any, **named: Any) -> Any:
        if step == "_gather":  # Between the fence and the drain.
            await wipe(office)
            return await real(self, *words, **named)
        found = await real(self, *words, **named)
        await wipe(office)
        return found

    with monkeypatch.context() as disturbed:
        disturbed.setattr(home, step, empty)
        async with coordinating(office.shard, office.redis, office.database_url) as one:
            with pytest.raises(CannotOpen, match="the claim was lost: Redis"):
                await one.recover()
    row = await reigns.read(office.database, office.shard)
    assert row is not None
    assert "recovering" == row.state

    await recover(office)

    assert before == await content(office)


async def test_f6_sold_from_and_nothing_left(office: BoxOffice) -> None:
    """F6: a worker saw records, both stores have none: frozen, until a human opens it empty."""
    await reigns.note_seen(office.database, office.shard, epoch=1, seen_seq=3, has_lost=True)
    await wipe(office)

    async with coordinating(office.shard, office.redis, office.database_url) as one:
        with pytest.raises(CannotOpen, match="saw record 3 acknowledged, and neither store has"):
            await one.recover()
    row = await reigns.read(office.database, office.shard)
    assert row is not None
    assert "frozen" == row.state

    assert await reigns.thaw(office.database, office.shard)
    await recover(office, is_rebuild_forced=True)
    row = await reigns.read(office.database, office.shard)
    assert row is not None
    assert ("open", 0) == (row.state, row.seen_seq)


async def test_f41_who_lost_the_claim_changes_nothing(office: BoxOffice) -> None:
    """F41: a recovery that wakes up late can neither write rows nor open the shard."""
    event = await office.add_event()
    await office.book(event.event_id, new_id("usr"), "k", (1, 1))
    await office.drain_all(records_max=37)
    await wipe(office)
    reached, go_on = asyncio.Event(), asyncio.Event()

    async with coordinating(office.shard, office.redis, office.database_url) as late:
        real = rebuilding.Rebuild._picture

        async def stall(self: Any, *words: Any) -> Any:
            reached.set()
            await go_on.wait()
            return await real(self, *words)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rebuilding.Rebuild, "_picture", stall)
            stalled = asyncio.create_task(late.recover())
            await reached.wait()
        await office.database.execute(
            "UPDATE shard_epoch SET lease_until = now() WHERE shard = $1", office.shard
        )
        await recover(office)
        before = await content(office)
        go_on.set()
        with pytest.raises(CannotOpen, match="the claim was lost"):
            await stalled

    assert before == await content(office)
    row = await reigns.read(office.database, office.shard)
    assert row is not None
    assert ("open", 3) == (row.state, row.epoch)


async def test_f41_loader_obeys_the_claim(office: BoxOffice) -> None:
    """F41: rows are written only while `meta` says `rebuilding` under that very claim."""
    meta, due = keys.meta(office.shard), keys.due(office.shard)
    for state, claim in (("open", 7), ("rebuilding", 8), ("recovering", 7)):
        await ask(office.redis, "HSET", meta, "state", state, "claim", claim)
        with pytest.raises(ClaimLost):
            await Loader(office.redis, office.shard, 7).__aenter__()
    await ask(office.redis, "HSET", meta, "state", "rebuilding", "claim", 7)
    async with Loader(office.redis, office.shard, 7) as loader:
        await loader.score(due, {"a": 1})
        await loader.flush()
        await ask(office.redis, "HSET", meta, "claim", 8)
        await loader.score(due, {"b": 1})
        with pytest.raises(ClaimLost):
            await loader.flush()
    assert [b"a"] == await ask(office.redis, "ZRANGE", due, 0, -1)


async def test_loader_tells_what_redis_refused(office: BoxOffice) -> None:
    """A command that Redis refuses within a batch is an error, and never passed over."""
    await ask(office.redis, "HSET", keys.meta(office.shard), "state", "rebuilding", "claim", 7)
    async with Loader(office.redis, office.shard, 7) as loader:
        await loader.add(keys.due(office.shard), ["a"])
        await loader.score(keys.due(office.shard), {"a": 1})
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await loader.flush()


async def test_wrong_rows_freeze_the_shard(office: BoxOffice) -> None:
    """A rebuild that is not what PostgreSQL has is not opened: the checks see it."""
    event = await office.add_event()
    own = await office.book(event.event_id, new_id("usr"), "k", (1, 1))
    await office.drain_all(records_max=37)
    await office.database.execute(
        "DELETE FROM items WHERE event_id = $1 AND booking_id = $2", event.event_id, own
    )
    await wipe(office)

    async with coordinating(office.shard, office.redis, office.database_url) as one:
        with pytest.raises(CannotOpen, match="is frozen: what was rebuilt is not"):
            await one.recover()

    row = await reigns.read(office.database, office.shard)
    assert row is not None
    assert "frozen" == row.state


async def test_unknown_publishing_freezes_the_shard(office: BoxOffice) -> None:
    """An event whose record of publishing is gone cannot be sold: nobody guesses its stock."""
    event = await office.add_event()
    await office.drain_all(records_max=37)
    await office.database.execute("DELETE FROM journal WHERE shard = $1", office.shard)
    await wipe(office)

    async with coordinating(office.shard, office.redis, office.database_url) as one:
        with pytest.raises(CannotOpen, match=f"publishing of {event.event_id}"):
            await one.recover()


async def test_thawed_shard_is_tried_again(office: BoxOffice) -> None:
    """A human may let recovery try a frozen shard again, or take PostgreSQL alone."""
    event = await office.add_event()
    await office.book(event.event_id, new_id("usr"), "k", (1, 1))
    await office.drain_all(records_max=37)
    await office.book(event.event_id, new_id("usr"), "k", (1, 2))
    await ask(office.redis, "XDEL", office.journal, "3-1")
    # And something else of what it did is not as its record would have it.
    names = keys.event(office.shard, event.event_id)
    await ask(office.redis, "HINCRBY", names.stock, "1.available", -1)
    async with coordinating(office.shard, office.redis, office.database_url) as one:
        with pytest.raises(CannotOpen, match="the journal was shortened"):
            await one.recover()
        with pytest.raises(CannotOpen, match="frozen"):
            await one.recover()
        assert await reigns.thaw(office.database, office.shard)

        await one.recover(is_rebuild_forced=True)

        assert await one.is_well()
    assert not await reigns.thaw(office.database, office.shard)
    # What was derived of the record that was lost is in PostgreSQL as well.
    assert 3 == (await stock(office.redis, office.shard, event.event_id))[1].sold
    assert set() == await office.codes()

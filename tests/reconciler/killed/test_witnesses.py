"""What workers remember of every kind, and what one that stood still remembers too late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest

from engine.commands import (
    CancelItem,
    Extend,
    Join,
    Order,
    Own,
    Reopen,
    Scan,
    SetCapacity,
    TierStock,
    Transfer,
)
from engine.engine import Engine
from engine.ids import hold_id, new_id
from engine.outcomes import Applied, Booked, Extended, Held
from engine.redo import Horizon, Redo, RedoBuffer
from evently.embedded import ValkeyServer
from store import redo, reigns
from tests.checks import FAR_MS, make_booking_id
from tests.reconciler.conftest import DETAIL, BoxOffice, Shown
from tests.reconciler.recovering import (
    bookings,
    content,
    engine_of,
    log_of,
    recover,
    restart,
    wait_open,
)

#: All of the tier that people wait for.
FEW = 4


class Worker:
    """A worker with a memory of its own, which may stand still."""

    def __init__(self, pool: asyncpg.Pool, shard: int, name: str) -> None:
        self.runs = asyncio.Event()
        self.runs.set()

        async def read_horizon(epoch: int) -> Horizon:
            return Horizon(*await reigns.horizon(pool, shard, epoch))

        async def write(rows: Sequence[Redo]) -> None:
            await self.runs.wait()
            await redo.write(
                pool, shard=shard, worker=name, rows=[redo.Row(*each) for each in rows]
            )

        self.memory = RedoBuffer(
            shard,
            read_horizon=read_horizon,
            write=write,
            records_max=1_000,
            bytes_max=1 << 24,
            on_drop=lambda _: None,
        )
        self.engine: Engine

    async def told_all(self) -> None:
        """Wait until it has written what it knew."""
        while self.memory.records:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
async def workers(office: BoxOffice) -> AsyncIterator[tuple[Worker, Worker]]:
    """Run two workers that remember."""
    one, two = (Worker(office.database, office.shard, name) for name in ("one", "two"))
    url, pool, shard = office.redis_url, office.database, office.shard
    async with (
        engine_of(url, pool, shard, make_redo=lambda _: one.memory) as one.engine,
        engine_of(url, pool, shard, make_redo=lambda _: two.memory) as two.engine,
    ):
        for worker in (one, two):
            await wait_open(worker.engine, shard)
        yield one, two


async def book(worker: Worker, office: BoxOffice, event: Shown, user: str, *lines: int) -> Order:
    """Book so many places of the tiers in turn."""
    own = make_booking_id(event.event_id, user, "k")
    items = tuple((no, count) for no, count in enumerate(lines, start=1) if count)
    order = Order(event.event_id, own, user, "print", DETAIL, items)
    assert isinstance(await worker.engine.book(office.shard, order), Booked)
    return order


async def cut_to(office: BoxOffice, valkey: ValkeyServer, size: int) -> None:
    """Kill Redis, and let it lose the end of its log."""
    valkey.kill()
    log = log_of(valkey)
    assert log.stat().st_size > size
    log.write_bytes(log.read_bytes()[:size])
    await restart(office, valkey)


async def _act(worker: Worker, office: BoxOffice, event_id: str, known: Order) -> None:
    """Do one of everything that is told to somebody."""
    engine, shard, user = worker.engine, office.shard, known.user_id
    buyer, waiter, leaver = (new_id("usr") for _ in range(3))
    holds = [hold_id(event_id=event_id, user_id=buyer, idempotency_key=f"{n}") for n in range(3)]
    done: list[object] = [
        await engine.hold(shard, Order(event_id, one, buyer, "f", DETAIL, ((2, 1),), 60_000))
        for one in holds
    ]
    done.append(await engine.extend(shard, Extend(event_id, holds[0], buyer, 90_000, 900_000)))
    done.append(await engine.release(shard, Own(event_id, holds[1], buyer)))
    done.append(await engine.confirm(shard, Own(event_id, holds[2], buyer)))
    for who, places in ((waiter, 1), (leaver, 2)):
        entry = new_id("wl")
        join = Join(event_id, entry, who, "f", 1, places, "strict", 1_000, 60_000, 99)
        done.append(await engine.join(shard, join))
    done.append(await engine.leave(shard, Own(event_id, entry, leaver)))
    scan = Scan(event_id, known.id, 1, 1, "north", "usr_gate", "scan-1", 7)
    done.append(await engine.checkin(shard, scan))
    undone = scan._replace(scan_id="scan-2")
    done.append(await engine.undo_checkin(shard, undone))
    done.append(await engine.transfer(shard, Transfer(event_id, known.id, 2, user, buyer)))
    done.append(await engine.cancel_item(shard, CancelItem(event_id, known.id, user, 1, ((2, 1),))))
    done.append(await engine.set_capacity(shard, SetCapacity(event_id, ((2, 90),), FAR_MS - 1)))
    done.append(await engine.close(shard, event_id))
    done.append(await engine.reopen(shard, Reopen(event_id, FAR_MS - 2)))
    assert {Applied, Booked, Extended, Held} == {type(one) for one in done}


async def test_f60_what_was_told_is_there_again(
    office: BoxOffice, valkey: ValkeyServer, workers: tuple[Worker, Worker]
) -> None:
    """F60, I4: Redis' tail is lost: what one worker told of any kind is there, to the letter."""
    event = await office.add_event(tiers=(TierStock(FEW, 2500, 10), TierStock(100, 9900, 10)))
    known = await book(workers[0], office, event, new_id("usr"), FEW, 3)
    await office.drain_all()
    size = log_of(valkey).stat().st_size
    await _act(workers[0], office, event.event_id, known)
    draft = await office.add_event(publish=False)
    before = await content(office)
    await cut_to(office, valkey, size)

    one = await recover(office)

    assert one.recovered is not None
    merged = one.recovered.merged
    assert ("rebuild", 0, 0) == (one.recovered.path.name, merged.conflicts, merged.lost)
    assert before == await content(office)
    assert set() == await office.codes()
    assert draft


async def test_f61_a_worker_that_stood_still_is_heard(
    office: BoxOffice, valkey: ValkeyServer, workers: tuple[Worker, Worker]
) -> None:
    """F61, I4, I1: what it tells when its places were given up is booked, if there is room."""
    one, two = workers
    event = await office.add_event(tiers=(TierStock(FEW, 2500, 10), TierStock(100, 9900, 10)))
    await office.drain_all()
    size = log_of(valkey).stat().st_size
    lucky = await book(one, office, event, new_id("usr"), 0, 2)
    await book(two, office, event, new_id("usr"), 0, 1)
    unlucky = await book(one, office, event, new_id("usr"), FEW)
    await book(two, office, event, new_id("usr"), 0, 1)
    one.runs.clear()
    await cut_to(office, valkey, size)
    first = await recover(office)
    assert first.recovered is not None
    assert (2, 2) == (first.recovered.merged.found, first.recovered.merged.lost)
    row = await reigns.read(office.database, office.shard)
    assert row is not None
    await wait_open(two.engine, office.shard, epoch=row.epoch)
    await book(two, office, event, new_id("usr"), FEW)
    assert lucky.id not in await bookings(office, event)

    one.runs.set()
    await one.told_all()
    second = await recover(office)

    assert second.recovered is not None
    merged = second.recovered.merged
    assert (1, 1, 1) == (merged.found, merged.late, merged.conflicts)
    found = await bookings(office, event)
    assert lucky.id in found
    assert unlucky.id not in found
    assert {"record_in_conflict"} == await office.codes()
    answer = await two.engine.book(office.shard, lucky) if await _opened(two, office) else None
    assert isinstance(answer, Booked)
    assert answer.is_replay


async def _opened(worker: Worker, office: BoxOffice) -> bool:
    # Its own records of the last reign are merged first: no door opens before (F70).
    await worker.told_all()
    await recover(office)
    row = await reigns.read(office.database, office.shard)
    assert row is not None
    await wait_open(worker.engine, office.shard, epoch=row.epoch)
    return True

"""The redo buffer: keeps what was acknowledged, to the letter, until PostgreSQL has it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from engine import redo
from engine.calls import call_of
from engine.commands import Order, Own, Promo, Publish, TierStock
from engine.door import Reign
from engine.engine import Engine
from engine.errors import ShardRecovering
from engine.ids import hold_id, new_id
from engine.outcomes import Applied, Booked
from engine.records import decode
from engine.redo import Horizon, Redo, RedoBuffer
from engine.seats import Section
from engine.verbs import BOOK
from tests.checks import FAR_MS, ask, journal, users
from tests.engine.conftest import Start, order


class Shelf:
    """Stands for PostgreSQL: how far it is, what it was given, and whether it is away."""

    def __init__(self) -> None:
        self.horizons: dict[int, Horizon] = {}
        self.rows: list[Redo] = []
        self.dropped = 0
        self.is_away = False
        self.looks = 0
        self.has_looked = asyncio.Event()

    async def read_horizon(self, epoch: int) -> Horizon:
        """Tell how far an epoch is."""
        self.looks += 1
        self.has_looked.set()
        if self.is_away:
            raise OSError("away")
        return self.horizons.get(epoch, Horizon(-1, is_open=True))

    async def write(self, rows: Sequence[Redo]) -> None:
        """Take rows."""
        if self.is_away:
            raise OSError("away")
        self.rows += rows

    def drop(self, count: int) -> None:
        """Count what was dropped."""
        self.dropped += count

    async def look(self, times: int = 2) -> None:
        """Wait until the buffer has looked so often."""
        for _ in range(times):
            self.has_looked.clear()
            await self.has_looked.wait()
        await asyncio.sleep(0)

    def buffer(self, *, records_max: int = 1_000, bytes_max: int = 1 << 30) -> RedoBuffer:
        """Make a buffer before it."""
        return RedoBuffer(
            0,
            read_horizon=self.read_horizon,
            write=self.write,
            records_max=records_max,
            bytes_max=bytes_max,
            on_drop=self.drop,
        )


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Return a shelf, and let buffers look without pause."""
    monkeypatch.setattr(redo, "LOOK_INTERVAL_S", 0)
    monkeypatch.setattr(redo, "RETRY_INTERVAL_S", 0)
    return Shelf()


def batch(*seqs: int, epoch: int = 1, status: bytes = b"BOOKED", detail: bytes = b"{}") -> Any:
    """Let a batch of bookings land."""
    orders = [Order("evt", f"bk_{seq}", "usr", "f", detail, ((1, 1),)) for seq in seqs]
    replies = [b"%b %d %d 9 1:1:100" % (status, epoch, seq) for seq in seqs]
    return call_of(BOOK, 0, epoch, orders).read(b"\n".join(replies)).batch


async def empty(buffer: RedoBuffer) -> None:
    """Wait until nothing is kept."""
    while buffer.records:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def test_kept_until_the_checkpoint_has_passed(shelf: Shelf) -> None:
    """Records go once PostgreSQL has them, not before, and then nobody looks any more."""
    buffer = shelf.buffer()
    buffer.keep(batch(1, 2))
    buffer.keep(batch(3))
    assert 3 == buffer.records
    shelf.horizons[1] = Horizon(1, is_open=True)
    await shelf.look()
    assert 3 == buffer.records
    shelf.horizons[1] = Horizon(2, is_open=True)
    await shelf.look()
    assert 1 == buffer.records
    shelf.horizons[1] = Horizon(9, is_open=True)
    await empty(buffer)
    await asyncio.sleep(0)
    looks = shelf.looks
    for _ in range(20):
        await asyncio.sleep(0)
    assert (looks, [], 0) == (shelf.looks, shelf.rows, shelf.dropped)
    await buffer.close()


async def test_f5_f10_fence_seen_by_the_worker_writes_the_rest(shelf: Shelf) -> None:
    """F5, F10: when the door shuts, what PostgreSQL lacks is written, in order, once."""
    buffer = shelf.buffer()
    buffer.keep(batch(1, 2, 3))
    buffer.keep(batch(4))
    shelf.horizons[1] = Horizon(2, is_open=True)
    await shelf.look()
    buffer.shut(1)
    await empty(buffer)
    assert [(1, 3), (1, 4)] == [row[:2] for row in shelf.rows]
    await buffer.close()


async def test_fence_before_the_coordinator_comes(shelf: Shelf) -> None:
    """What the persister has written meanwhile is superseded, and only the rest is written."""
    buffer = shelf.buffer()
    shelf.is_away = True
    buffer.keep(batch(1, 2))
    buffer.keep(batch(3, 4))
    buffer.shut(1)
    await shelf.look(3)
    shelf.horizons[1] = Horizon(3, is_open=True)
    shelf.is_away = False
    await empty(buffer)
    assert [4] == [row.seq for row in shelf.rows]
    await buffer.close()


async def test_f10_fence_seen_in_postgresql_writes_the_rest(shelf: Shelf) -> None:
    """F10: a worker that nobody asks anything learns of the fence from the shard's row."""
    buffer = shelf.buffer()
    buffer.keep(batch(1))
    await shelf.look()
    assert [] == shelf.rows
    shelf.horizons[1] = Horizon(0, is_open=False)
    await empty(buffer)
    assert [(1, 1)] == [row[:2] for row in shelf.rows]
    await buffer.close()


async def test_two_epochs(shelf: Shelf) -> None:
    """What is acknowledged after a shard reopened is kept apart from what the fence left."""
    buffer = shelf.buffer()
    buffer.keep(batch(7, 8))
    buffer.shut(1)
    buffer.keep(batch(1, epoch=2))
    while 1 != buffer.records:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert [(1, 7), (1, 8)] == [row[:2] for row in shelf.rows]
    shelf.horizons[2] = Horizon(1, is_open=True)
    await empty(buffer)
    assert 2 == len(shelf.rows)
    await buffer.close()


async def test_tried_again_until_written(shelf: Shelf) -> None:
    """While PostgreSQL is away nothing is lost of what fits; it is written when it is back."""
    buffer = shelf.buffer()
    shelf.is_away = True
    buffer.keep(batch(1, 2))
    buffer.shut(1)
    await shelf.look(5)
    assert (2, []) == (buffer.records, shelf.rows)
    shelf.is_away = False
    await empty(buffer)
    assert [1, 2] == [row.seq for row in shelf.rows]
    await buffer.close()


async def test_checkpoint_of_recovery_supersedes_nothing(shelf: Shelf) -> None:
    """I4: a checkpoint may pass what recovery has given up; whoever knows better still says so."""
    buffer = shelf.buffer()
    shelf.is_away = True
    buffer.keep(batch(1, 2))
    buffer.shut(1)
    await shelf.look(3)
    shelf.horizons[1] = Horizon(2, is_open=False)
    shelf.is_away = False
    await empty(buffer)
    assert [1, 2] == [row.seq for row in shelf.rows]
    await buffer.close()


async def test_bounded_by_count_and_bytes(shelf: Shelf) -> None:
    """Beyond its bounds the buffer drops the oldest, and says how many."""
    shelf.is_away = True
    buffer = shelf.buffer(records_max=3)
    for seq in range(1, 6):
        buffer.keep(batch(seq))
    assert (3, 2) == (buffer.records, shelf.dropped)
    await buffer.close()
    shelf.dropped = 0
    buffer = shelf.buffer(bytes_max=3_000)  # Room for one of them, and not for two.
    buffer.keep(batch(1, detail=b"x" * 2_000))
    buffer.keep(batch(2, detail=b"x" * 2_000))
    assert (1, 1) == (buffer.records, shelf.dropped)
    await buffer.close()


async def test_replays_are_kept_if_they_may_be_the_first_that_arrived(shelf: Shelf) -> None:
    """F2, I4: whoever made it may have been cut off from the answer, and so know nothing of it."""
    buffer = shelf.buffer()
    earlier = batch(1, 2, epoch=1, status=b"REPLAYED")
    earlier.epoch = 2  # Sent under a later epoch: PostgreSQL has what it tells of.
    buffer.keep(earlier)
    assert 0 == buffer.records
    buffer.keep(batch(4, 5, status=b"REPLAYED"))
    mixed = batch(6)
    mixed.told.append(mixed.told[0]._replace(is_made=False, seq=3))
    buffer.keep(mixed)
    buffer.shut(1)
    await empty(buffer)
    assert [3, 4, 5, 6] == sorted(row.seq for row in shelf.rows)
    await buffer.close()


async def test_many_records_are_written_in_parts(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long rest is written piece by piece, none of it twice."""
    monkeypatch.setattr(redo, "WRITE_RECORDS_MAX", 4)
    buffer = shelf.buffer()
    for seq in range(1, 21, 2):
        buffer.keep(batch(seq, seq + 1))
    buffer.shut(1)
    await empty(buffer)
    assert list(range(1, 21)) == [row.seq for row in shelf.rows]
    await buffer.close()


async def test_f5_records_are_those_of_the_journal(
    shelf: Shelf, start: Start, redis: Redis, shard: int, event: str
) -> None:
    """F5: what a worker writes is to the letter what the script had appended, seats and all."""
    buffer = shelf.buffer()
    engine = await start(make_redo=lambda _: buffer)
    await engine.seat(shard, event, Section(1, 2, (10,)))
    tiers = (TierStock(50, 100, 10), TierStock(10, 250, 10))
    promos = (Promo("CODE", 9, 50, 0),)
    await engine.publish(shard, Publish(event, "p", 0, FAR_MS, 9, tiers, 1, promos))
    people = users(6)
    detail = '{"special_requests":"\u00fc\\"","metadata":{"a":1}}'.encode()
    buys = [order(event, user, (1, 2), (2, 1), detail=detail) for user in people[:4]]
    buys.append(order(event, people[4], (1, 3), fingerprint="f~CODE"))
    buys[0] = buys[0]._replace(lines=((2, 2, "s1-3+s1-4"), (1, 1)))
    assert {Booked} == {
        type(reply) for reply in await asyncio.gather(*(engine.book(shard, buy) for buy in buys))
    }
    hold = hold_id(event_id=event, user_id=people[5], idempotency_key="k")
    await engine.hold(shard, Order(event, hold, people[5], "f2", detail, ((1, 1),), 60_000))
    assert isinstance(await engine.confirm(shard, Own(event, hold, people[5])), Booked)
    cancelled = await engine.cancel(shard, Own(event, buys[0].id, people[0]))
    assert isinstance(cancelled, Applied)

    await ask(redis, "SCRIPT FLUSH")
    with pytest.raises(ShardRecovering):
        await engine.book(shard, order(event, new_id("usr")))
    await empty(buffer)
    expected = {entry.seq: entry.raw.decode() for entry in await journal(redis, shard)}
    assert 9 == len(expected)
    assert expected == {row.seq: row.record for row in shelf.rows}
    assert {1} == {row.epoch for row in shelf.rows}
    for row in shelf.rows:
        decode(row.record.encode())


@pytest.mark.parametrize("hears", ["before", "while it asks"])
async def test_f70_no_door_before_its_witness(
    shelf: Shelf, redis: Redis, shard: int, hears: str
) -> None:
    """F70: a worker hands on what it knows of earlier reigns before it opens under a new one."""
    buffer = shelf.buffer()
    shelf.is_away = True
    buffer.keep(batch(5))
    asked = 0

    async def read_reign(_: int) -> Reign:
        nonlocal asked
        asked += 1
        if hears == "while it asks" and asked == 3:
            shelf.is_away = False
            await empty(buffer)  # Written too late for this answer to heed it.
        return Reign(shard=shard, epoch=2, script_shas={})

    engine = Engine({"0": redis}, read_reign, shards=[shard], make_redo=lambda _: buffer)
    buffer.shut(1)
    engine.start()
    while asked < 4:
        await asyncio.sleep(0.01)
        if asked < 4:
            assert not engine.is_open
    if hears == "before":
        assert not engine.is_open
        shelf.is_away = False
    while not engine.is_open:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert [5] == [row.seq for row in shelf.rows]
    await engine.stop(timeout_s=1)

"""Redis's log damaged in its middle, flipped by a bit, and Redis killed while it is rewritten."""

from __future__ import annotations

import asyncio
import json
import os

import pytest
from redis.exceptions import RedisError

from engine.errors import OutcomeUnknown, ShardRecovering
from engine.outcomes import Booked
from evently.embedded import ServerError, ValkeyServer
from reconciler.recover.decide import CannotOpen
from store import quarantine
from tests.checks import ask
from tests.reconciler.conftest import BoxOffice, Shown
from tests.reconciler.recovering import (
    assert_shut_then_open,
    bookings,
    coordinating,
    log_of,
    recover,
    restart,
    sell,
)
from tests.reconciler.test_cli import run

BOOKINGS = 10
#: Microseconds that Redis takes for each key that it writes anew.
KEY_DELAY_US = 2_000_000


async def test_f8_log_damaged_in_the_middle(office: BoxOffice, valkey: ValkeyServer) -> None:
    """F8, I17: Redis refuses to start, nothing is sold; with its log set aside it is rebuilt."""
    event = await office.add_event()
    acked = await sell(office, event, BOOKINGS)
    await office.drain()
    valkey.kill()
    raw = bytearray(log_of(valkey).read_bytes())
    raw[raw.index(b"\r\n$", len(raw) // 2) + 2] = ord("?")
    log_of(valkey).write_bytes(raw)

    with pytest.raises(ServerError, match=r"ended while starting \(code [1-9]"):
        valkey.start()
    with pytest.raises((OutcomeUnknown, ShardRecovering)):
        await sell(office, event, 1)
    with pytest.raises(RedisError):
        await recover(office)

    (valkey.directory / "appendonlydir").rename(valkey.directory / "damaged")
    await restart(office, valkey)
    await assert_shut_then_open(office, event)
    found = await bookings(office, event)
    assert {key: (1, one.seq) for key, one in acked.items()}.items() <= found.items()
    assert set() == await office.codes()


async def test_f8_log_cut_while_it_ran(office: BoxOffice, valkey: ValkeyServer) -> None:
    """F8: a log that was cut under a running Redis is whole again once it is written anew."""
    event = await office.add_event()
    acked = await sell(office, event, BOOKINGS)
    log = log_of(valkey)
    os.truncate(log, log.stat().st_size - 700)
    acked |= await sell(office, event, BOOKINGS)
    await office.redis.bgrewriteaof()
    while await is_rewriting(office):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    acked |= await sell(office, event, 1)
    await assert_kept(office, valkey, event, acked)


async def test_f9_flipped_byte_of_the_log(office: BoxOffice, valkey: ValkeyServer) -> None:
    """F9, I17: a flipped byte of a record loads silently; it is parked, named, the shard frozen."""
    event = await office.add_event()
    acked = await sell(office, event, BOOKINGS)
    valkey.kill()
    raw = bytearray(log_of(valkey).read_bytes())
    spoilt = list(acked)[BOOKINGS // 2]
    # In the journal's record alone: the booking itself is written as another command.
    at = raw.index(f'"booking_id":"{spoilt}"'.encode())
    raw[at + len('"booking_id":"') + 10] ^= 1
    log_of(valkey).write_bytes(raw)
    await restart(office, valkey)

    with pytest.raises(ShardRecovering):
        await sell(office, event, 1)
    async with coordinating(office.shard, office.redis, office.database_url) as one:
        for _ in range(2):  # Frozen is frozen, however often somebody tries.
            with pytest.raises(CannotOpen, match=r"quarantine|cannot be persisted"):
                await one.recover()
    with pytest.raises(ShardRecovering):
        await sell(office, event, 1)

    [held] = await quarantine.rows_of(office.database, office.shard)
    assert "fails its check" in held.reason
    rows = await office.database.fetch("SELECT id FROM bookings WHERE shard = $1", office.shard)
    assert acked.keys() - {spoilt} == {row["id"] for row in rows}
    code, text = await run(office, "quarantine", "list", "--shard", str(office.shard), "--json")
    assert (1, [held.seq]) == (code, [row["seq"] for row in json.loads(text)["quarantine"]])
    assert "record_quarantined" in {one.code for one in (await office.check()).violations}


@pytest.mark.parametrize("moment", ["during", "after"])
async def test_f20_rewrite_kill(office: BoxOffice, valkey: ValkeyServer, moment: str) -> None:
    """F20: killed while its log is rewritten, or just after, Redis has all it acknowledged."""
    event = await office.add_event()
    acked = await sell(office, event, BOOKINGS)
    delay_us = KEY_DELAY_US if moment == "during" else 0
    await ask(office.redis, "CONFIG SET", "rdb-key-save-delay", delay_us)
    await office.redis.bgrewriteaof()
    acked |= await sell(office, event, BOOKINGS)
    while (await is_rewriting(office)) != (moment == "during"):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    acked |= await sell(office, event, BOOKINGS)
    assert (moment == "during") == await is_rewriting(office)
    await assert_kept(office, valkey, event, acked)


async def assert_kept(
    office: BoxOffice, valkey: ValkeyServer, event: Shown, acked: dict[str, Booked]
) -> None:
    """Kill Redis and start it again: it has all that was acknowledged, and nothing is rebuilt."""
    valkey.kill()
    await restart(office, valkey)
    one = await recover(office)
    assert one.recovered is not None
    assert "keep" == one.recovered.path.name
    assert {key: (1, each.seq) for key, each in acked.items()} == await bookings(office, event)
    assert set() == await office.codes()


async def is_rewriting(office: BoxOffice) -> bool:
    """Tell whether Redis writes its log anew; said to begin as soon as it was asked."""
    found = await office.redis.info("persistence")
    return bool(found["aof_rewrite_in_progress"] or found["aof_rewrite_scheduled"])
